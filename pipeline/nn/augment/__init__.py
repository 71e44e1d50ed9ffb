"""The parts of the augmentation layer; `pipeline.nn.augmentation` puts them together.

=============  ===========================================================================
settings       what may happen to a sample, and how often
planning       what is fixed by settings, patch and voxel size: source patch, control grids
draws          what happens to one sample: a function of (seed, sample index)
splines        smooth fields from coarse control grids
rearranging    mirrors, quarter turns and shifted slices where nothing is interpolated
resampling     affine and elastic deformation, image and labels, in one resampling
sections       slices that are missing
intensity      blur, gamma, contrast, brightness, unevenness, Gaussian and shot noise
noise          the normal numbers for the noise
padding        source patches that reach beyond the capture
=============  ===========================================================================
"""
