# The image validator and what prints images.
pycds_add_fuzzer(image_fuzz image_fuzz.cc pycds_fakes_image)
