#include "daemon/config/command_line.h"

#include <CLI/CLI.hpp>
#include <sstream>
#include <utility>
#include <vector>

#include "daemon/config/config_file.h"

namespace pycds::config {

Result<CommandLine> parse_command_line(int argc, const char* const* argv) {
    // Values stay text here: set_option() checks them the same way as those of the file.
    struct Value {
        const char* name;
        const char* type;
        const char* help;
        std::string text;
        CLI::Option* option = nullptr;
    };
    std::vector<Value> values{
        {"socket",
         "PATH",
         "where to listen; default /run/pycds/pycdsd.sock, with --user "
         "$XDG_RUNTIME_DIR/pycds/pycdsd.sock",
         {}},
        {"clients", "DIR", "directory of the clients; default ../client beside the program", {}},
        {"build-deadline", "SECONDS", "how long building one image may take; default 300", {}},
        {"build-memory", "MIB", "address space of a builder; default 4096", {}},
        {"image-budget", "MIB", "bytes of all images together; default 2048", {}},
    };
    bool user = false;
    bool verbose = false;
    std::string config;

    CLI::App app{"Shares CPython code objects between processes."};
    app.name("pycdsd");
    app.footer("Example: pycdsd --user --verbose");
    app.set_version_flag("--version", std::string("pycdsd ") + PYCDS_VERSION);
    app.add_option("--config", config, "file of name = value lines, with the names below")
        ->type_name("FILE");
    for (Value& value : values) {
        value.option = app.add_option(std::string("--") + value.name, value.text, value.help)
                           ->type_name(value.type);
    }
    app.add_flag("--user", user, "serve only the user that starts it");
    app.add_flag("--verbose", verbose, "log every connection");

    CommandLine out;
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        std::ostringstream text;
        const int status = app.exit(error, text, text);
        out.exit = EarlyExit{status == 0 ? 0 : 2, text.str()};
        return out;
    }
    if (!config.empty()) {
        const Status read = read_config(config, &out.options);
        if (!read) return read.error();
    }
    for (const Value& value : values) {
        if (value.option->count() == 0) continue;
        const Status set = set_option(&out.options, value.name, value.text);
        if (!set) return Error{set.error().code, "--" + set.error().message};
    }
    if (user) out.options.user = true;
    if (verbose) out.options.verbose = true;
    const Status complete = fill_in_defaults(&out.options);
    if (!complete) return complete.error();
    return out;
}

}  // namespace pycds::config
