# What the daemon reads of its administrator.
pycds_add_fuzzer(config_fuzz config_fuzz.cc pycds_daemon_config)
