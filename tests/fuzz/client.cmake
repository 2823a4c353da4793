# What the builder parses before it gives a .pyc to the interpreter.
pycds_add_fuzzer(marshal_fuzz marshal_fuzz.cc pycds_pyc)
# What users send to a builder of their own files.
pycds_add_fuzzer(offered_fuzz offered_fuzz.cc pycds_pyc)
