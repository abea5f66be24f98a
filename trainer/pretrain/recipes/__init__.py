"""Recipes that come with the program: those of the experiments, a short schedule and a wide network."""
