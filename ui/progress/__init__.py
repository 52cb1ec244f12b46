"""How far long work of this process is, on whatever screen."""
