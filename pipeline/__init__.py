"""vemseg: Kubernetes-native batch segmentation of volume electron microscopy."""

__version__ = "0.1.0"
