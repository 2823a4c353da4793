# What the daemon reads of its administrator.
pycds_add_fuzzer(config_fuzz config_fuzz.cc pycds_daemon_config)
# Messages with descriptors, builders and time against the service.
pycds_add_fuzzer(service_fuzz service_fuzz.cc pycds_daemon_core pycds_daemon_policy pycds_fakes_image)
