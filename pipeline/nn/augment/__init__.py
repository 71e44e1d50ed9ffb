"""The parts of the augmentation layer; `pipeline.nn.augment.layer` puts them together.

=============  ================================================================================
settings       what may happen to a sample, and how often
planning       what is fixed by settings, patch and voxel size: source patch, control grids
draws          the random numbers of one sample: a function of (seed, sample index)
spatial        voxels change places, or are resampled through a deformation: drawn, and done
intensity      blur, gamma, contrast, unevenness, noise, missing slices: drawn, and done
=============  ================================================================================
"""
