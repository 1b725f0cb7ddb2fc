"""Pure rules and mathematics of privacy: no state, no registry of sites, no torch."""
