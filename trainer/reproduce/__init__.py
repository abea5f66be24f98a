"""Experiments like those of the authors' tables, shorter: each pre-trained, fine-tuned and scored over seeds."""
