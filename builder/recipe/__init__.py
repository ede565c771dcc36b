"""Recipes, images and profiles: the files of a project as values."""
