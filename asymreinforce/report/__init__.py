"""What an experiment directory holds, as figures and a page; files are read and never made."""
