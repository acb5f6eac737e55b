"""spinray: MRI spins and CT/PET/SPECT rays in one toolkit."""
