"""OME-Zarr volumes: stores, blocks, conversion in and out, the phantom."""
