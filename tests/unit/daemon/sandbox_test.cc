// What a builder cannot do, tried by a real one: Python that the real daemon starts as it starts
// builders. Each line of the program below tries one thing by a system call.
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "daemon/build/landlock.h"
#include "daemon/build/readable.h"
#include "daemon/build/sandbox.h"
#include "tests/unit/daemon/daemon_process.h"
#include "tests/unit/daemon/test_client.h"

namespace pycds::test {
namespace {

// refused(thing): does it raise OSError with one of these numbers? Otherwise it is in `done`.
constexpr const char* kProbe = R"(
import ctypes, errno
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t] + [ctypes.c_int] * 3 + [ctypes.c_long]
done = []
DAEMON = os.getppid()
def call(name, *arguments):
    ctypes.set_errno(0)
    if getattr(libc, name)(*arguments) in (-1, ctypes.c_void_p(-1).value):
        raise OSError(ctypes.get_errno(), name)
def raw(number, *arguments):
    if libc.syscall(number, *arguments) == -1:
        raise OSError(ctypes.get_errno(), str(number))
def refused(name, thing):
    try:
        thing()
    except OSError as error:
        if error.errno in (errno.EPERM, errno.EACCES):
            return
        done.append('%s: %s' % (name, error))
    else:
        done.append(name)
def wait_fork():
    pid = os.fork()
    if pid == 0: os._exit(0)
    os.waitpid(pid, 0)
def thread():
    import _thread
    try:
        _thread.start_new_thread(print, ())
    except RuntimeError:
        raise PermissionError(1, 'thread')
import socket
def try_everything():
    for family in (socket.AF_UNIX, socket.AF_INET, socket.AF_INET6, socket.AF_NETLINK):
        refused('socket', lambda: socket.socket(family))
    refused('socketpair', socket.socketpair)
    refused('fork', wait_fork)
    refused('thread', thread)
    refused('vfork', lambda: raw(58))
    refused('clone3', lambda: raw(435, 0, 0))
    refused('setsid', os.setsid)
    refused('kill the daemon', lambda: os.kill(DAEMON, signal.SIGTERM))
    refused('probe the daemon', lambda: os.kill(DAEMON, 0))
    refused('kill the group', lambda: os.killpg(0, 0))
    refused('kill all', lambda: os.kill(-1, 0))
    refused('pidfd', lambda: raw(434, DAEMON, 0))
    refused('ptrace', lambda: call('ptrace', 16, DAEMON, 0, 0))
    refused('traceme', lambda: call('ptrace', 0, 0, 0, 0))
    refused('read memory', lambda: raw(310, DAEMON, 0, 0, 0, 0, 0))
    refused('write memory', lambda: raw(311, DAEMON, 0, 0, 0, 0, 0))
    refused('limit the daemon', lambda: raw(302, DAEMON, 7, 0, 0))
    refused('nice the daemon', lambda: os.setpriority(os.PRIO_PROCESS, DAEMON, 19))
    refused('outlive the daemon', lambda: call('prctl', 1, 0))
    refused('be dumpable', lambda: call('prctl', 4, 1))
    refused('own a descriptor', lambda: call('fcntl', REPORT, 8, DAEMON))
    refused('keyctl', lambda: raw(250, 0))
    refused('bpf', lambda: raw(321, 0, 0, 0))
    refused('userfaultfd', lambda: raw(323, 0))
    refused('perf', lambda: raw(298, 0, 0, -1, -1, 0))
    refused('io_uring', lambda: raw(425, 1, 0))
    refused('unshare', lambda: raw(272, 0x10000000))
    refused('setns', lambda: raw(308, 0, 0))
    refused('mount', lambda: raw(165, 0, 0, 0, 0, 0))
    refused('chroot', lambda: os.chroot('/'))
    refused('memfd', lambda: os.memfd_create('x'))
    refused('pipe', os.pipe)
    refused('eventfd', lambda: raw(290, 0, 0))
    refused('inotify', lambda: raw(294, 0))
    refused('timer', lambda: raw(222, 0, 0, 0))
    refused('alarm', lambda: signal.setitimer(signal.ITIMER_REAL, 1))
    refused('setuid', lambda: os.setuid(0))
    refused('personality', lambda: raw(135, 0x0040000))
    for path in (HERE + '/file', '/tmp/file', '/dev/shm/file', 'file'):
        refused('make ' + path, lambda: os.open(path, os.O_WRONLY | os.O_CREAT))
    refused('write', lambda: os.open(__file__, os.O_WRONLY))
    refused('write and read', lambda: os.open(__file__, os.O_RDWR))
    refused('truncate', lambda: os.truncate(__file__, 0))
    refused('cut while reading', lambda: os.open(__file__, os.O_RDONLY | os.O_TRUNC))
    refused('temporary', lambda: os.open(HERE, os.O_TMPFILE | os.O_RDWR))
    refused('unlink', lambda: os.unlink(__file__))
    refused('rename', lambda: os.rename(__file__, HERE + '/x'))
    refused('link', lambda: os.link(__file__, HERE + '/x'))
    refused('symlink', lambda: os.symlink('x', HERE + '/x'))
    refused('mkdir', lambda: os.mkdir(HERE + '/x'))
    refused('chmod', lambda: os.chmod(__file__, 0o777))
    refused('utime', lambda: os.utime(__file__))
    refused('setxattr', lambda: os.setxattr(__file__, 'user.x', b''))
)";

class SandboxTest : public testing::Test {
  protected:
    // What a builder says that runs the probe and then this.
    std::string probe(const std::string& program, const std::vector<std::string>& plan) {
        daemon_.set_builder(kProbe + program + "\nsay(done)");
        TestClient client(daemon_.socket());
        const UniqueFd fd = make_plan(plan);
        EXPECT_TRUE(client.send(wire::BuildRequest{TEST_PYTHON, 0}, {fd.get()}));
        const std::optional<Answer> answer = client.receive_last();
        if (!answer || answer->as<Error>() == nullptr) return "no answer";
        return answer->as<Error>()->message;
    }
    std::string probe(const std::string& program) { return probe(program, {"/etc/passwd"}); }

    static constexpr const char* kNothing = "the builder failed: []";
    DaemonProcess daemon_;
};

TEST_F(SandboxTest, ABuilderIsConfinedFromItsStart) {
    ASSERT_TRUE(daemon_.start());
    EXPECT_EQ(probe("try_everything()"), kNothing);
    EXPECT_EQ(read_file(daemon_.path("client/x")), "");
}

TEST_F(SandboxTest, RootKeepsNoPrivilegeButReading) {
    ASSERT_TRUE(daemon_.start());
    const std::string said = probe(
        "status = dict(line.split(':\\t', 1) for line in open('/proc/self/status') if ':\\t' in "
        "line)\n"
        "done = [status[key].strip() for key in ('NoNewPrivs', 'Seccomp', 'CapInh', 'CapAmb')]\n"
        "done += [hex(int(status[key], 16) & ~4) for key in ('CapPrm', 'CapEff')]");
    EXPECT_EQ(
        said,
        "the builder failed: ['1', '2', '0000000000000000', '0000000000000000', '0x0', '0x0']");
}

TEST_F(SandboxTest, ItCanLowerItsLimitsButNotRaiseThem) {
    ASSERT_TRUE(daemon_.start());
    EXPECT_EQ(
        probe("import resource as r\n"
              "done = [r.getrlimit(l) for l in (r.RLIMIT_CORE, r.RLIMIT_NPROC, r.RLIMIT_NOFILE)]\n"
              "for limit in (r.RLIMIT_NPROC, r.RLIMIT_AS, r.RLIMIT_FSIZE, r.RLIMIT_CPU):\n"
              "    try:\n"
              "        r.setrlimit(limit, (1 << 60, 1 << 60)); done.append(limit)\n"
              "    except (ValueError, PermissionError): pass\n"),
        "the builder failed: [(0, 0), (0, 0), (128, 128)]");
}

TEST_F(SandboxTest, ItReadsOnlyWhatItNeeds) {
    if (build::landlock_version() == 0) GTEST_SKIP() << "this kernel has no Landlock";
    const TempDir elsewhere;
    write_file(elsewhere / "secret", "x", 0644);
    const TempDir sources;
    ASSERT_EQ(mkdir((sources / "a").c_str(), 0755), 0);
    write_file(sources / "a/m.py", "pass\n");
    ASSERT_TRUE(daemon_.start());
    const std::string said = probe(
        "for path in ('/etc/shadow', '/etc/passwd', '/proc/%d/maps' % DAEMON, '/proc/%d/mem' % "
        "DAEMON,\n"
        "             '/proc/%d/fd/0' % DAEMON, '/proc/1/cmdline', '/etc/group', '" +
            elsewhere.path() + "/secret', '" + sources.path() +
            "'):\n"
            "    refused(path, lambda: os.open(path, os.O_RDONLY))\n"
            "refused('list', lambda: os.listdir('/root'))\n"
            "for path in (os.__file__, sys.executable, __file__, '/proc/self/maps', '/dev/null', "
            "'" +
            sources.path() +
            "/a/m.py'):\n"
            "    os.close(os.open(path, os.O_RDONLY))\n",
        {sources.path() + "/a/m.py"});
    EXPECT_EQ(said, kNothing);
}

TEST_F(SandboxTest, WhatItInstallsLeavesNothingButComputing) {
    ASSERT_TRUE(daemon_.start());
    const std::string said = probe(
        "class Filter(ctypes.Structure):\n"
        "    _fields_ = [('size', ctypes.c_ushort), ('program', ctypes.c_char_p)]\n"
        "program = os.pread(FILTER, 1 << 16, 0)\n"
        "call('prctl', 22, 2, ctypes.byref(Filter(len(program) // 8, program)))\n"
        "try_everything()\n"
        "refused('read', lambda: os.open(os.__file__, os.O_RDONLY))\n"
        "refused('list', lambda: os.listdir('/'))\n"
        "refused('stat', lambda: os.stat('/etc/passwd'))\n"
        "refused('exec', lambda: os.execv('/bin/true', ['true']))\n"
        "refused('run', lambda: call('mmap', None, 4096, 5, 0x22, -1, 0))\n"
        "refused('another filter', lambda: call('prctl', 22, 2, ctypes.byref(Filter(1, b'')))) \n"
        "refused('dup', lambda: os.dup(REPORT))\n"
        "os.write(OUT, b'x' * 100); bytearray(100 << 20)\n");
    EXPECT_EQ(said, kNothing);
}

TEST(Readable, AnInterpreterNeedsItsPrefixAndThatOfItsBase) {
    const TempDir dir;
    for (const char* name : {"base", "base/bin", "venv", "venv/bin", "tree"}) {
        ASSERT_EQ(mkdir((dir / name).c_str(), 0755), 0);
    }
    write_file(dir / "base/bin/python3", "\177ELF...", 0755);
    write_file(dir / "venv/bin/python3", "\177ELF...", 0755);
    write_file(dir / "tree/python", "\177ELF...", 0755);
    write_file(dir / "tree/script", "#!/bin/sh\n", 0755);
    write_file(dir / "venv/pyvenv.cfg",
               "homely = x\nhome =  " + dir.path() + "/base/bin \nversion = 3\n");
    const auto has = [&](const std::string& python, const std::string& path) {
        const std::vector<std::string> paths = build::paths_of_interpreter(dir / python);
        return std::count(paths.begin(), paths.end(), path) != 0;
    };
    EXPECT_TRUE(has("base/bin/python3", dir / "base"));
    EXPECT_TRUE(has("base/bin/python3", "/usr"));
    EXPECT_FALSE(has("base/bin/python3", "/"));
    EXPECT_FALSE(has("base/bin/python3", dir.path()));
    EXPECT_TRUE(has("venv/bin/python3", dir / "venv"));
    EXPECT_TRUE(has("venv/bin/python3", dir / "base"));
    EXPECT_TRUE(has("tree/python", dir / "tree"));
    EXPECT_FALSE(has("tree/python", dir.path()));
    EXPECT_TRUE(has("tree/script", "/"));
}

TEST(Readable, DirectoriesOfAPlanAreNamedOnce) {
    using Paths = std::vector<std::string>;
    const auto of = [](const Paths& plan) {
        std::string text;
        for (const std::string& path : plan) text += path + '\0';
        return build::directories_of_plan(text);
    };
    EXPECT_EQ(of({}), Paths{});
    EXPECT_EQ(of({"/a/b.py", "/a/c.py", "/a/d/e/f.py"}), Paths{"/a"});
    EXPECT_EQ(of({"/a/b/c.py", "/a-b/c.py", "/a/b.d/c.py"}), (Paths{"/a-b", "/a/b", "/a/b.d"}));
    EXPECT_EQ(of({"/a/x.py", "/a-b/c.py", "/a/b/c.py"}), (Paths{"/a", "/a-b"}));
    EXPECT_EQ(of({"/a.py"}), Paths{"/__pycache__"}) << "not all that there is";
    EXPECT_EQ(of({"relative.py", ""}), Paths{});
}

}  // namespace
}  // namespace pycds::test
