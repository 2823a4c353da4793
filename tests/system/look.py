"""What processes have in memory, looked at from outside as root."""
import os
import re
import struct

PAGE = os.sysconf("SC_PAGE_SIZE")
PRESENT = 1 << 63
FILE_OR_SHARED = 1 << 61
FRAME = (1 << 55) - 1
ZERO_PAGE = 1 << 24  # of /proc/kpageflags


def mappings(pid):
    """[(start, end, offset, name)]"""
    found = []
    with open("/proc/%d/maps" % pid) as maps:
        for line in maps:
            parts = line.split(None, 5)
            start, end = (int(part, 16) for part in parts[0].split("-"))
            name = parts[5].strip() if len(parts) > 5 else ""
            found.append((start, end, int(parts[2], 16), name))
    return found


def _entries(pid, start, end):
    with open("/proc/%d/pagemap" % pid, "rb") as pagemap:
        pagemap.seek(start // PAGE * 8)
        data = pagemap.read((end - start) // PAGE * 8)
    return struct.unpack("%dQ" % (len(data) // 8), data)


def image_frames(pid):
    """Of the images that a process maps: ({offset in image: physical page} of the shared pages, the
    physical pages that it has copied)."""
    shared, own = {}, set()
    for start, end, offset, name in mappings(pid):
        if not name.startswith("/memfd:pycds"):
            continue
        for index, entry in enumerate(_entries(pid, start, end)):
            if not entry & PRESENT:
                continue
            if entry & FILE_OR_SHARED:
                shared[(start, offset + index * PAGE)] = entry & FRAME
            else:
                own.add(entry & FRAME)
    return shared, own


def anonymous_frames(pid):
    """The physical pages of a process that are no file's."""
    frames = set()
    for start, end, _, name in mappings(pid):
        if name.startswith("[v"):  # the kernel's, the same for all
            continue
        frames.update(entry & FRAME for entry in _entries(pid, start, end)
                      if entry & PRESENT and not entry & FILE_OR_SHARED)
    with open("/proc/kpageflags", "rb", buffering=0) as flags:
        return {frame for frame in frames if not _flags(flags, frame) & ZERO_PAGE}


def _flags(file, frame):
    return struct.unpack("Q", os.pread(file.fileno(), 8, frame * 8))[0]


def private_kb(pid):
    """Anonymous memory, and private memory of files, without the images: what a daemon costs."""
    total, image = 0, False
    with open("/proc/%d/smaps" % pid) as smaps:
        for line in smaps:
            if re.match(r"[0-9a-f]+-[0-9a-f]+ ", line):
                image = "/memfd:" in line
            elif not image and re.match(r"Private_(Clean|Dirty):", line):
                total += int(line.split()[1])
    return total


def activity(pid):
    """(clock ticks of processor time, context switches) of a process and all its threads."""
    ticks = switches = 0
    for task in os.listdir("/proc/%d/task" % pid):
        with open("/proc/%d/task/%s/stat" % (pid, task)) as file:
            fields = file.read().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
        with open("/proc/%d/task/%s/status" % (pid, task)) as file:
            switches += sum(int(number) for number in
                            re.findall(r"^(?:non)?voluntary_ctxt_switches:\s+(\d+)", file.read(),
                                       re.M))
    return ticks, switches


def status(pid, field):
    with open("/proc/%d/status" % pid) as file:
        return re.search(r"^%s:\s*(.*)$" % field, file.read(), re.M)[1]
