"""Reproduction of the authors' tables: every experiment pre-trained, fine-tuned and scored over seeds."""
