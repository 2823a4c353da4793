#include "daemon/config/command_line.h"

#include <CLI/CLI.hpp>
#include <deque>
#include <sstream>
#include <utility>
#include <vector>

namespace pycds::config {
namespace {

// Values stay text here: set_option() checks them the same way as those of the file.
struct Given {
    const OptionInfo& info;
    std::vector<std::string> values;
    CLI::Option* option = nullptr;
};

void add_option(CLI::App* app, Given* given) {
    const std::string name = std::string("--") + given->info.name;
    if (given->info.type == nullptr) {
        given->option = app->add_flag(name, given->info.help);
        return;
    }
    given->option = app->add_option(name, given->values, given->info.help)
                        ->type_name(given->info.type)
                        ->expected(1)
                        ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
                        ->allow_extra_args(false);
}

Status apply(const Given& given, Options* options) {
    if (given.info.type == nullptr) {
        return given.option->count() == 0 ? Status(Ok{})
                                          : set_option(options, given.info.name, "true");
    }
    for (const std::string& value : given.values) {
        const Status set = set_option(options, given.info.name, value);
        if (!set) return Error{set.error().code, "--" + set.error().message};
    }
    return Ok{};
}

}  // namespace

Result<CommandLine> parse_command_line(int argc, const char* const* argv,
                                       const char* system_config) {
    CLI::App app{"Shares CPython code objects between processes."};
    app.name("pycdsd");
    app.footer("Example: pycdsd --user --verbose");
    app.set_version_flag("--version", std::string("pycdsd ") + PYCDS_VERSION);
    std::string config;
    const CLI::Option* config_option =
        app.add_option("--config", config,
                       "file of name = value lines, with the names below; those of FILE.d/*.conf "
                       "come after it. Default, without --user: " +
                           std::string(kSystemConfig) + ", if it exists")
            ->type_name("FILE");
    std::deque<Given> all;  // CLI11 keeps pointers into them
    for (const OptionInfo& info : all_options()) {
        all.push_back(Given{info, {}, nullptr});
        add_option(&app, &all.back());
    }

    CommandLine out;
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        std::ostringstream text;
        const int status = app.exit(error, text, text);
        out.exit = EarlyExit{status == 0 ? 0 : 2, text.str()};
        return out;
    }
    Status read = Ok{};
    if (config_option->count() != 0) {
        read = read_config(config, MayBeMissing::kNo, &out.options);
    } else if (app.count("--user") == 0) {
        read = read_config(system_config, MayBeMissing::kYes, &out.options);
    }
    if (!read) return read.error();
    for (const Given& given : all) {
        const Status set = apply(given, &out.options);
        if (!set) return set.error();
    }
    const Status complete = fill_in_defaults(&out.options);
    if (!complete) return complete.error();
    return out;
}

}  // namespace pycds::config
