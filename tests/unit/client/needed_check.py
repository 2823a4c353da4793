"""The client that every process loads needs libc and nothing else (readelf -d)."""
import re
import subprocess
import sys

text = subprocess.run(["readelf", "-d", sys.argv[1]], stdout=subprocess.PIPE, check=True,
                      universal_newlines=True).stdout
needed = re.findall(r"\(NEEDED\).*\[(.*)\]", text)
print("NEEDED:", needed)
sys.exit(needed != ["libc.so.6"])
