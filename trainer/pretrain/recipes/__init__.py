"""Recipes that come with the program: the rows of the ISCC paper's tables as configurations, and a short schedule."""
