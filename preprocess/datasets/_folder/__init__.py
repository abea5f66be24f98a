"""Parts of the adapter ``folder``: where sweeps, times and poses are, and what their columns mean."""
