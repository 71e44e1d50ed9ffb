"""Segmentations and their errors in three dimensions: surfaces, meshes, still pictures, turn-tables, scenes.

A surface is made of a label array (z, y, x) and its voxel size; everything else draws surfaces. Positions are
nanometres, x to the right, y down and z away from the viewer, as in the slices; this is a right-handed system.
"""

from pipeline.figures.render.objectmesh import object_surface, write_object_mesh
from pipeline.figures.render.scene import scene_html, write_scene_html
from pipeline.figures.render.surfaces import Style, Surface, class_styles, surfaces, write_mesh

__all__ = [
    "Style",
    "Surface",
    "class_styles",
    "object_surface",
    "scene_html",
    "surfaces",
    "write_mesh",
    "write_object_mesh",
    "write_scene_html",
]
