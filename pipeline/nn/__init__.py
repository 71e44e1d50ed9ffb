"""The 3D U-Net: plan, losses, batched augmentation, training, blockwise inference."""
