"""Everything around the promotions: to look, to explain, to hold, to go back, to clean up."""
