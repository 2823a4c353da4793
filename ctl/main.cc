// pycdsctl: the commands of people and scripts to the daemon.
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <exception>

#include "ctl/command.h"
#include "src/common/base/text.h"

namespace {

using namespace pycds;
using namespace pycds::ctl;

constexpr const char* kFooter =
    "Exit status:\n"
    "  0  done\n"
    "  1  failed for a reason none of the others is\n"
    "  2  the command line, or what it asks for, makes no sense\n"
    "  3  no such interpreter, module, client, image or file\n"
    "  4  permission denied\n"
    "  5  no daemon answers, or it went away\n"
    "  6  an image is corrupt\n"
    "  7  the build failed\n"
    "\n"
    "Environment:\n"
    "  PYCDS_SOCKET  socket of the daemon, where --socket is not given\n"
    "\n"
    "Example:\n"
    "  pycdsctl build --python /usr/bin/python3 --import 'flask, requests'\n"
    "  env $(pycdsctl env --python /usr/bin/python3) /usr/bin/python3 program.py";

// Descriptors that we open must not become 0, 1 or 2, which children get.
void fill_standard_descriptors() {
    int fd = 0;
    do {
        fd = open("/dev/null", O_RDWR);
    } while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd >= 0) close(fd);
}

int complain(std::string text, int status) {
    std::replace(text.begin(), text.end(), '\n', ' ');
    // Names in it come from outside; a terminal must not take orders from them.
    fmt::print(stderr, "pycdsctl: {}\n", printable(text));
    return status;
}

// CLI11 reports by exceptions; they end here.
int parse(CLI::App& app, int argc, char** argv, bool* done) {
    try {
        app.parse(argc, argv);
        *done = false;
        return 0;
    } catch (const CLI::Success& success) {
        *done = true;
        return app.exit(success) == 0 ? 0 : kExitFailed;
    } catch (const CLI::ParseError& error) {
        *done = true;
        const auto chosen = app.get_subcommands();
        if (const auto unknown = app.remaining(); chosen.empty() && !unknown.empty()) {
            const char* kind = unknown[0].starts_with('-') ? "option" : "command";
            return complain(fmt::format("no {} '{}' (see 'pycdsctl --help')", kind, unknown[0]),
                            kExitUsage);
        }
        return complain(fmt::format("{} (see 'pycdsctl{} --help')", error.what(),
                                    chosen.empty() ? "" : " " + chosen[0]->get_name()),
                        kExitUsage);
    }
}

int run(int argc, char** argv) {
    CLI::App app("Shares the code objects of Python processes: talks to pycdsd.", "pycdsctl");
    Globals globals;
    Action action;
    app.set_version_flag("--version", "pycdsctl " PYCDS_VERSION);
    app.add_option("--socket", globals.socket,
                   "Socket of the daemon [$PYCDS_SOCKET, else /run/pycds/pycdsd.sock, else "
                   "$XDG_RUNTIME_DIR/pycds/pycdsd.sock]")
        ->type_name("PATH");
    app.require_subcommand(1);
    app.footer(kFooter);
    add_build_command(app, globals, action);
    add_status_command(app, globals, action);
    add_list_command(app, globals, action);
    add_show_command(app, globals, action);
    add_verify_command(app, globals, action);
    add_drop_command(app, globals, action);
    add_env_command(app, globals, action);

    bool done = false;
    const int parsed = parse(app, argc, argv, &done);
    if (done) return parsed;
    const Status status = action();
    if (status) return 0;
    return complain(status.error().message, exit_status(status.error().code));
}

}  // namespace

int main(int argc, char** argv) {
    fill_standard_descriptors();
    try {
        return run(argc, argv);
    } catch (const std::exception& error) {
        // Out of memory, or a bug.
        return complain(error.what(), kExitFailed);
    }
}
