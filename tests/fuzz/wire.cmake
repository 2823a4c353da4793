# Everything that comes off a socket.
pycds_add_fuzzer(wire_fuzz wire_fuzz.cc pycds_wire)
