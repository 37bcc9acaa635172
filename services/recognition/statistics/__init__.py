"""What answers add up to: error rates, calibrations, identification, and their figures."""
