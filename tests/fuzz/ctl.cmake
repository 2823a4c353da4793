# What the tools read of other processes.
pycds_add_fuzzer(maps_fuzz maps_fuzz.cc pycds_ctl)
