"""Segmentations and their errors in three dimensions: surfaces, meshes, still pictures, turn-tables, scenes.

A surface is made of a label array (z, y, x) and its voxel size; everything else draws surfaces. Positions are
nanometres, x to the right, y down and z away from the viewer, as in the slices; this is a right-handed system.
"""

from pipeline.scoring.render.meshes import write_mesh
from pipeline.scoring.render.scene import scene_html, write_scene_html
from pipeline.scoring.render.surfaces import Style, Surface, class_styles, surfaces

__all__ = ["Style", "Surface", "class_styles", "scene_html", "surfaces", "write_mesh", "write_scene_html"]
