// pycdsctl: the commands of people and scripts to the daemon.
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <exception>
#include <string_view>

#include "ctl/command.h"
#include "ctl/json.h"
#include "ctl/output.h"
#include "ctl/run.h"
#include "src/common/base/text.h"

namespace {

using namespace pycds;
using namespace pycds::ctl;

constexpr const char* kFooter =
    "Exit status:\n"
    "  0  done\n"
    "  1  failed for a reason none of the others is (system)\n"
    "  2  the command line, or what it asks for, makes no sense (invalid-argument)\n"
    "  3  no such interpreter, module, client, image, process or file (not-found)\n"
    "  4  permission denied, or a daemon not to be trusted (permission-denied)\n"
    "  5  no daemon answers, or it went away (unavailable)\n"
    "  6  an image is corrupt (corrupt)\n"
    "  7  the build failed (build-failed)\n"
    "A failure is one line on standard error. With --json, standard output says it too:\n"
    "  {\"error\": {\"code\": \"not-found\", \"message\": \"...\"}}\n"
    "where the code is the word in brackets above. `run` has the exit status of what it runs.\n"
    "\n"
    "Environment:\n"
    "  PYCDS_SOCKET  socket of the daemon, where --socket is not given\n"
    "\n"
    "Example:\n"
    "  pycdsctl build --python /usr/bin/python3 --import 'flask, requests'\n"
    "  env $(pycdsctl env --python /usr/bin/python3) /usr/bin/python3 program.py\n"
    "  pycdsctl enable /usr/bin/python3 && pycdsctl doctor /usr/bin/python3";

// Descriptors that we open must not become 0, 1 or 2, which children get. What is run in our place
// finds them closed, as they were.
void fill_standard_descriptors() {
    int fd = 0;
    do {
        fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    } while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd >= 0) close(fd);
}

int complain(Error error, bool as_json) {
    std::replace(error.message.begin(), error.message.end(), '\n', ' ');
    // Names in it come from outside; a terminal must not take orders from them.
    fmt::print(stderr, "pycdsctl: {}\n", printable(error.message));
    if (as_json && !has_printed()) {
        JsonWriter json;
        write_json(json.begin_object().key("error"), error);
        json.end_object();
        // If standard output is closed too, the line above and the exit status are all there is.
        [[maybe_unused]] const Status ignored = print_out(json.text());
    }
    return exit_status(error.code);
}

// For where the command line has not been understood, or what was understood is gone.
bool mentions_json(int argc, char** argv) {
    return std::any_of(argv, argv + argc,
                       [](const char* word) { return std::string_view(word) == "--json"; });
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
            return complain({ErrorCode::kInvalidArgument,
                             fmt::format("no {} '{}' (see 'pycdsctl --help')", kind, unknown[0])},
                            mentions_json(argc, argv));
        }
        return complain({ErrorCode::kInvalidArgument,
                         fmt::format("{} (see 'pycdsctl{} --help')", error.what(),
                                     chosen.empty() ? "" : " " + chosen[0]->get_name())},
                        mentions_json(argc, argv));
    }
}

// CLI11 2.5 and later make paragraphs of footers, whose lines are tables and examples.
template <typename Formatter>
void keep_lines_of_footers(Formatter& formatter) {
    if constexpr (requires { formatter.enable_footer_formatting(false); }) {
        formatter.enable_footer_formatting(false);
    }
}

int run(SplitArguments arguments) {
    CLI::App app("Shares the code objects of Python processes: talks to pycdsd.", "pycdsctl");
    Globals globals;
    Action action;
    app.set_version_flag("--version", "pycdsctl " PYCDS_VERSION);
    app.add_option("--socket", globals.socket,
                   "Socket of the daemon [$PYCDS_SOCKET, else /run/pycds/pycdsd.sock, else "
                   "$XDG_RUNTIME_DIR/pycds/pycdsd.sock]")
        ->type_name("PATH");
    // Commands take the formatter over when they are added.
    keep_lines_of_footers(*app.get_formatter());
    app.require_subcommand(1);
    app.footer(kFooter);
    add_build_command(app, globals, action);
    add_status_command(app, globals, action);
    add_list_command(app, globals, action);
    add_show_command(app, globals, action);
    add_verify_command(app, globals, action);
    add_drop_command(app, globals, action);
    add_env_command(app, globals, action);
    add_enable_command(app, globals, action);
    add_disable_command(app, globals, action);
    add_doctor_command(app, globals, action);
    add_explain_command(app, globals, action);
    add_run_command(app, globals, action, arguments.command);

    bool done = false;
    const int argc = static_cast<int>(arguments.own.size());
    arguments.own.push_back(nullptr);
    const int parsed = parse(app, argc, arguments.own.data(), &done);
    if (done) return parsed != 0 && arguments.is_run ? kExitRunFailed : parsed;
    const Status status = action();
    if (status) return 0;
    if (arguments.is_run) {
        complain(status.error(), false);
        return run_exit_status(status.error().code);
    }
    return complain(status.error(), app.get_subcommands().front()->count("--json") > 0);
}

}  // namespace

int main(int argc, char** argv) {
    fill_standard_descriptors();
    try {
        return run(split_run_arguments(argc, argv));
    } catch (const std::exception& error) {
        // Out of memory, or a bug.
        return complain({ErrorCode::kSystem, error.what()}, mentions_json(argc, argv));
    }
}
