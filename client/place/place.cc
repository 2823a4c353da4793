// An audit library of the dynamic linker (rtld-audit(7)), which `pycdsctl run` puts into LD_AUDIT:
// the library of a randomised interpreter is loaded where PYCDS_LAYOUT says, so that all such
// processes have it at one address. Everything else stays where the kernel puts it. docs/run.md
// says what for.
//
// How. The linker maps a library wherever the kernel finds room (glibc, elf/dl-map-segments.h).
// Before it opens one it asks us; then all other room that is large enough is taken with mappings
// that nobody can use and that cost no memory, and given back at the linker's next call. Nothing is
// told to the linker and no file is another than without us. Wherever that cannot be done, the
// library is loaded as ever: nothing here can keep a program from starting.
//
// It is loaded into every program below `pycdsctl run`, so it needs nothing, not even libc, whose
// second copy would cost each of them more than all that is done here.
#include <elf.h>
#include <link.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>

#include "src/common/image/format.h"

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif

// The initial stack: argc, argv, NULL, environment, NULL (glibc, of ld.so itself).
extern "C" void* __libc_stack_end;

namespace pycds::place {
namespace {

#if defined(__x86_64__)
long system_call(long number, long a = 0, long b = 0, long c = 0, long d = 0, long e = 0,
                 long f = 0) {
    long result = 0;
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    register long r9 __asm__("r9") = f;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return result;
}
#elif defined(__aarch64__)
long system_call(long number, long a = 0, long b = 0, long c = 0, long d = 0, long e = 0,
                 long f = 0) {
    register long x8 __asm__("x8") = number;
    register long x0 __asm__("x0") = a;
    register long x1 __asm__("x1") = b;
    register long x2 __asm__("x2") = c;
    register long x3 __asm__("x3") = d;
    register long x4 __asm__("x4") = e;
    register long x5 __asm__("x5") = f;
    __asm__ volatile("svc 0"
                     : "+r"(x0)
                     : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
                     : "memory");
    return x0;
}
#else
#error "system_call() is not written for this architecture"
#endif

constexpr uint64_t kPage = image::kPageSize;
// Room that is left for what the linker itself needs meanwhile.
constexpr uint64_t kSpare = 64 * kPage;
// What lies next to the chosen place is taken at its exact end: the kernel aligns large mappings
// whose address it is free to choose.
constexpr uint64_t kFence = 4 * image::kCommonBaseStep;

struct Range {
    uint64_t begin = 0;  // 0: none
    uint64_t size = 0;
};

// A kernel that has no such call to refuse gives back what is no address either.
bool failed(long result) {
    return result < 0 && result >= -4095;
}

// `at` 0: anywhere.
Range take(uint64_t at, uint64_t size) {
    const long flags =
        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | (at != 0 ? MAP_FIXED_NOREPLACE : 0);
    const long got = system_call(SYS_mmap, static_cast<long>(at), static_cast<long>(size),
                                 PROT_NONE, flags, -1, 0);
    if (failed(got)) return {};
    const Range range{static_cast<uint64_t>(got), size};
    if (at == 0 || range.begin == at) return range;
    system_call(SYS_munmap, got, static_cast<long>(size));  // before Linux 4.17 only a hint
    return {};
}

void give_back(const Range& range) {
    if (range.begin != 0) {
        system_call(SYS_munmap, static_cast<long>(range.begin), static_cast<long>(range.size));
    }
}

// What is taken at the moment. Between la_objsearch() and the linker's next call to us.
class Taken {
  public:
    bool add(const Range& range) {
        if (range.begin == 0) return false;
        if (count_ == kMost) {
            give_back(range);
            return false;
        }
        ranges_[count_++] = range;
        return true;
    }
    void clear() {
        while (count_ != 0) give_back(ranges_[--count_]);
    }
    bool full() const { return count_ == kMost; }

  private:
    static constexpr size_t kMost = 256;
    Range ranges_[kMost];
    size_t count_ = 0;
};

constinit Taken taken;
constinit uint64_t base = 0;          // where to; 0: nowhere
constinit bool for_children = false;  // they shall have it too
constinit bool prepared = false;      // the interpreter's library is what comes next

// -------------------------------------------------------------------------------------------
// The environment

constexpr const char* kVariable = "PYCDS_LAYOUT=";

// What follows `prefix` in `text`, or null.
const char* after(const char* text, const char* prefix) {
    for (; *prefix != '\0'; ++prefix, ++text) {
        if (*prefix != *text) return nullptr;
    }
    return text;
}

char** environment() {
    auto* stack = static_cast<long*>(__libc_stack_end);
    return reinterpret_cast<char**>(stack + 1) + *stack + 1;
}

// Hexadecimal digits, and a '+' if children are to have it too.
void read_variable() {
    for (char** entry = environment(); *entry != nullptr; ++entry) {
        const char* digits = after(*entry, kVariable);
        if (digits == nullptr) continue;
        uint64_t value = 0;
        for (; (*digits >= '0' && *digits <= '9') || (*digits >= 'a' && *digits <= 'f'); ++digits) {
            if (value >> 60 != 0) return;
            value = value << 4 |
                    static_cast<uint64_t>(*digits <= '9' ? *digits - '0' : *digits - 'a' + 10);
        }
        for_children = *digits == '+';
        if (*(digits + (for_children ? 1 : 0)) != '\0' || !image::is_common_base(value)) return;
        base = value;
        return;
    }
}

// From here on this program, and what it starts, has the environment that it had without us.
// `pycdsctl run` sets LD_AUDIT only where it is not set.
void leave_environment() {
    if (for_children) return;
    char** to = environment();
    for (char** from = to; *from != nullptr; ++from) {
        if (after(*from, kVariable) == nullptr && after(*from, "LD_AUDIT=") == nullptr)
            *to++ = *from;
    }
    *to = nullptr;
}

// -------------------------------------------------------------------------------------------
// The library

// libpython3.NN.so and what follows; not libpython3.so, the stable ABI's, which holds nothing.
bool is_interpreter(const char* path) {
    const char* name = nullptr;
    for (const char* c = path; *c != '\0'; ++c) {
        if (*c == '/') name = c + 1;
    }
    // A name without a path is not what will be opened.
    const char* minor = name != nullptr ? after(name, "libpython3.") : nullptr;
    return minor != nullptr && *minor >= '0' && *minor <= '9';
}

// How much room the linker wants for the library, in whole pages; 0: it is none that it would load.
uint64_t room_for(const char* path) {
    constexpr long kReadOnly = 0;            // O_RDONLY
    constexpr long kCloseOnExec = 02000000;  // O_CLOEXEC
    constexpr long kHere = -100;             // AT_FDCWD
    const long fd =
        system_call(SYS_openat, kHere, reinterpret_cast<long>(path), kReadOnly | kCloseOnExec);
    if (failed(fd)) return 0;
    alignas(8) unsigned char bytes[1024];
    const long got = system_call(SYS_pread64, fd, reinterpret_cast<long>(bytes), sizeof bytes, 0);
    system_call(SYS_close, fd);
    const auto* header = reinterpret_cast<const ElfW(Ehdr)*>(bytes);
    if (got < static_cast<long>(sizeof *header) || header->e_ident[EI_CLASS] != ELFCLASS64 ||
        header->e_type != ET_DYN || header->e_phentsize != sizeof(ElfW(Phdr)) ||
        header->e_phoff % 8 != 0 || header->e_phoff > sizeof bytes ||
        header->e_phnum * sizeof(ElfW(Phdr)) > static_cast<uint64_t>(got) - header->e_phoff) {
        return 0;
    }
    const auto* segments = reinterpret_cast<const ElfW(Phdr)*>(bytes + header->e_phoff);
    uint64_t end = 0;
    uint64_t alignment = kPage;
    bool starts_at_zero = false;
    for (unsigned i = 0; i < header->e_phnum; ++i) {
        const ElfW(Phdr)& segment = segments[i];
        if (segment.p_type != PT_LOAD) continue;
        starts_at_zero |= segment.p_vaddr == 0;
        end = segment.p_vaddr + segment.p_memsz;  // they ascend (elf(5))
        if (segment.p_align > alignment) alignment = segment.p_align;
    }
    // One that was linked for an address has a wish of its own.
    if (!starts_at_zero || end > image::kCommonBaseStep * 512 ||
        alignment > image::kCommonBaseStep) {
        return 0;
    }
    end = (end + kPage - 1) & ~(kPage - 1);
    // glibc since 2.35 maps so much more and cuts off what is too much (_dl_map_segment()).
    if (alignment > kPage) end = end >= alignment ? end + alignment : 2 * alignment;
    return end;
}

// -------------------------------------------------------------------------------------------
// Making room

// Where address space is limited, none of it can be taken for a moment either.
bool address_space_is_free() {
    rlimit limit{};
    return system_call(SYS_prlimit64, 0, RLIMIT_AS, 0, reinterpret_cast<long>(&limit)) == 0 &&
           limit.rlim_cur == RLIM_INFINITY;
}

// Leaves one place of `size` bytes, at `base`, and small ones.
bool leave_one_place(uint64_t size) {
    const Range spare = take(0, kSpare);
    const Range place = take(base, size);
    bool alone = spare.begin != 0 && place.begin != 0 && taken.add(take(base - kFence, kFence)) &&
                 taken.add(take(base + size, kFence));
    if (alone) {
        // The largest first: few mappings, which the kernel joins where they touch.
        for (uint64_t part = uint64_t{1} << 46; part > size; part /= 2) {
            while (taken.add(take(0, part))) {
            }
        }
        while (taken.add(take(0, size))) {
        }
    }
    give_back(place);
    give_back(spare);
    if (!alone || taken.full()) return false;
    // The same question as the linker will ask.
    const Range answer = take(0, size);
    give_back(answer);
    return answer.begin == base;
}

}  // namespace
}  // namespace pycds::place

using namespace pycds::place;

// Which interface: the caller's, if it is not newer than what this was written for.
extern "C" __attribute__((visibility("default"))) unsigned la_version(unsigned version) {
    read_variable();
    return version < LAV_CURRENT ? version : LAV_CURRENT;
}

extern "C" __attribute__((visibility("default"))) char* la_objsearch(const char* name, uintptr_t*,
                                                                     unsigned) {
    taken.clear();
    if (base != 0 && is_interpreter(name) && address_space_is_free()) {
        const uint64_t size = room_for(name);
        if (size != 0 && !leave_one_place(size)) taken.clear();
        prepared = size != 0;
    }
    return const_cast<char*>(name);
}

// Called when the library is mapped.
extern "C" __attribute__((visibility("default"))) unsigned la_objopen(link_map* map, Lmid_t,
                                                                      uintptr_t*) {
    taken.clear();
    if (prepared && is_interpreter(map->l_name)) {
        base = 0;  // one is enough
        prepared = false;
        leave_environment();
    }
    return 0;
}

// The program begins: other threads may want memory from now on.
extern "C" __attribute__((visibility("default"))) void la_preinit(uintptr_t*) {
    taken.clear();
    base = 0;
}
