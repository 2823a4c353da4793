// pycdsctl enable, pycdsctl disable.
#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "ctl/command.h"
#include "ctl/hook.h"
#include "ctl/json.h"
#include "ctl/output.h"
#include "ctl/target.h"
#include "src/common/base/text.h"

namespace pycds::ctl {
namespace {

namespace fs = std::filesystem;

struct SwitchOptions {
    std::vector<std::string> names;
    bool if_enabled = false;
    bool all = false;
    bool json = false;
};

// What became of one interpreter, environment or file.
struct Outcome {
    std::string name;
    bool on = false;
    bool changed = false;
    std::string file;  // by which it is on, or that was removed
    std::string sentence;
};

struct Failed {
    std::string name;
    Error error;
};

// Who can change the library can run code in every process that loads it.
void warn_of_writers(const std::string& library, const std::string& hook) {
    struct stat place {};
    if (stat(fs::path(hook).parent_path().c_str(), &place) != 0) return;
    for (fs::path part = library; !part.empty(); part = part.parent_path()) {
        struct stat st {};
        if (stat(part.c_str(), &st) != 0) return;
        // A group of one's own, as many systems have it, is nobody else.
        const bool group = (st.st_mode & S_IWGRP) != 0 && st.st_gid != st.st_uid;
        const bool others = (group || (st.st_mode & S_IWOTH) != 0) && (st.st_mode & S_ISVTX) == 0;
        if ((st.st_uid != 0 && st.st_uid != place.st_uid) || others) {
            fmt::print(stderr,
                       "pycdsctl: warning: {} can be changed by others than the owner of {}, who "
                       "thereby run code in every process of this interpreter\n",
                       printable(part.native()), printable(hook));
            return;
        }
        if (part == part.root_path()) return;
    }
}

Outcome already_on(const Target& target, const Hook& hook) {
    return {target.python.name, true, false, hook.file,
            fmt::format("already on, by {}", hook.file)};
}

Result<Outcome> enable(const std::string& name, bool if_enabled) {
    Result<Target> target = find_target(name);
    if (!target) return target.error();
    Result<std::string> found = find_library(*target);
    const std::string library = found ? link_to(*found) : std::string();
    const bool venv = !target->venv.empty();
    const Hook base = stdlib_hook(*target, library);
    const Hook hook = venv ? venv_hook(*target, library) : base;
    // Refreshing what is off is nothing to fail at.
    if (if_enabled && (hook.state == HookState::kOff || hook.state == HookState::kForeign)) {
        return Outcome{name, false, false, {}, "off, and left so"};
    }
    // Nor is an interpreter that has been upgraded to a version that this pycds does not know: its
    // hook does nothing.
    if (!found && if_enabled) {
        return Outcome{
            name, false, false, {}, fmt::format("left as it is: {}", found.error().message)};
    }
    if (!found) return found.error();
    if (venv && hook.state == HookState::kOff && leads_to_client(base, *target)) {
        return Outcome{name, true, false, base.file,
                       fmt::format("already on through its base, by {}", base.file)};
    }
    if (hook.state == HookState::kOn) return already_on(*target, hook);
    Status made = venv ? make_venv_hook(*target, library) : make_stdlib_hook(*target, library);
    if (!made) return made.error();
    const std::string file = venv ? target->venv_pth() : hook.file;
    warn_of_writers(*found, file);
    return Outcome{
        name, true, true, file,
        fmt::format("{}, by {}", hook.state == HookState::kOff ? "on" : "refreshed", file)};
}

Result<Outcome> disable(const std::string& name) {
    Result<Target> target = find_target(name);
    if (!target) return target.error();
    const bool venv = !target->venv.empty();
    const Hook hook = venv ? venv_hook(*target, {}) : stdlib_hook(*target, {});
    Status removed = venv ? remove_venv_hook(*target) : remove_stdlib_hook(*target);
    if (!removed) return removed.error();
    const Hook base = stdlib_hook(*target, {});
    if (venv && leads_to_client(base, *target)) {
        return Error{ErrorCode::kInvalidArgument,
                     fmt::format("{} is on through its base, by {}: disable the base, or set "
                                 "PYCDS=off where it must be off",
                                 name, base.file)};
    }
    if (hook.state == HookState::kOff) return Outcome{name, false, false, {}, "already off"};
    const std::string file = venv ? target->venv_pth() : hook.file;
    return Outcome{name, false, true, file, fmt::format("off, {} removed", file)};
}

Result<Outcome> disable_file(const std::string& file) {
    Status removed = remove_hook(file);
    if (!removed) return removed.error();
    return Outcome{file, false, true, file, "removed"};
}

// Hooks of the system's directories, and those of interpreters that have their library elsewhere.
std::vector<std::string> all_hooks() {
    std::vector<std::string> files = find_hooks("");
    for (const char* place : {"/usr/bin", "/usr/local/bin"}) {
        std::error_code failed;
        for (fs::directory_iterator it(place, failed), end; !failed && it != end;
             it.increment(failed)) {
            const std::string name = it->path().filename().native();
            if (!name.starts_with("python3.") ||
                name.find_first_not_of("0123456789", 8) != std::string::npos) {
                continue;
            }
            // One that does not run any more has nothing that could be found this way.
            const Result<Target> target = find_target(it->path().native());
            if (!target) continue;
            const Hook hook = stdlib_hook(*target, {});
            if (hook.state == HookState::kStale &&
                std::find(files.begin(), files.end(), hook.file) == files.end()) {
                files.push_back(hook.file);
            }
        }
    }
    return files;
}

Status report(const std::vector<Outcome>& outcomes, const std::vector<Failed>& failures,
              bool as_json) {
    if (as_json) {
        JsonWriter json;
        json.begin_object().key("results").begin_array();
        for (const Outcome& outcome : outcomes) {
            json.begin_object()
                .field("name", outcome.name)
                .field("on", outcome.on)
                .field("changed", outcome.changed);
            if (!outcome.file.empty()) json.field("file", outcome.file);
            json.end_object();
        }
        for (const Failed& failed : failures) {
            json.begin_object().field("name", failed.name).key("error");
            write_json(json, failed.error);
            json.end_object();
        }
        json.end_array().end_object();
        Status printed = print_out(json.text());
        if (!printed) return printed;
    } else {
        std::string text;
        for (const Outcome& outcome : outcomes) {
            text += fmt::format("{}: {}\n", printable(outcome.name), printable(outcome.sentence));
        }
        Status printed = text.empty() ? Status(Ok{}) : print_out(text);
        if (!printed) return printed;
    }
    if (failures.empty()) return Ok{};
    // main() complains about the last one, and its exit status is that of the first.
    for (size_t i = 0; i + 1 < failures.size(); ++i) {
        fmt::print(stderr, "pycdsctl: {}\n", printable(failures[i].error.message));
    }
    return Error{failures.front().error.code, failures.back().error.message};
}

// All of them are tried, whatever becomes of one.
Status for_each(const std::vector<std::string>& names, bool as_json,
                const std::function<Result<Outcome>(const std::string&)>& work) {
    std::vector<Outcome> outcomes;
    std::vector<Failed> failures;
    for (const std::string& name : names) {
        Result<Outcome> outcome = work(name);
        if (outcome) {
            outcomes.push_back(*outcome);
        } else {
            failures.push_back({name, outcome.error()});
        }
    }
    return report(outcomes, failures, as_json);
}

Status run_disable(const SwitchOptions& options) {
    if (options.all != options.names.empty()) {
        return Error{ErrorCode::kInvalidArgument,
                     "name what to switch off, or say --all (see 'pycdsctl disable --help')"};
    }
    if (!options.all) return for_each(options.names, options.json, disable);
    const std::vector<std::string> files = all_hooks();
    if (files.empty() && !options.json) return print_out("no interpreter is switched on\n");
    return for_each(files, options.json, disable_file);
}

CLI::Option* add_names(CLI::App* command, SwitchOptions* options) {
    return command
        ->add_option("PYTHON", options->names,
                     "An interpreter, by path or name in PATH, or the directory of a virtual "
                     "environment")
        ->type_name("PYTHON-or-VENV");
}

}  // namespace

void add_enable_command(CLI::App& app, const Globals&, Action& action) {
    auto options = std::make_shared<SwitchOptions>();
    CLI::App* command = app.add_subcommand(
        "enable", "Switch the client on for an interpreter, or for a virtual environment");
    command->fallthrough();
    add_names(command, options.get())->required();
    command->add_flag("--if-enabled", options->if_enabled,
                      "Only refresh what is on, after an upgrade of pycds or of the interpreter");
    command->add_flag("--json", options->json, "Print JSON");
    command->footer(
        "An interpreter is on, together with all virtual environments made from it, by a symbolic "
        "link in the directory of its standard library; an environment whose base is off, by two "
        "files in its site-packages. Where pycdsd is a service of the system the link leads "
        "through /run/pycds-client, which is there as long as pycdsd.socket listens: without it "
        "Python is stock. Processes that run stay as they are. 'pycdsctl disable' "
        "removes these files; whatever else is in their place is not touched.\n\n"
        "JSON: \"results\" has for each PYTHON its \"name\", \"on\", \"changed\" and the \"file\" "
        "by which it is "
        "on, or \"name\" and \"error\".\n\n"
        "Example:\n"
        "  pycdsctl enable /usr/bin/python3 ~/venv");
    command->callback([options, &action] {
        action = [options] {
            return for_each(options->names, options->json, [&](const std::string& name) {
                return enable(name, options->if_enabled);
            });
        };
    });
}

void add_disable_command(CLI::App& app, const Globals&, Action& action) {
    auto options = std::make_shared<SwitchOptions>();
    CLI::App* command =
        app.add_subcommand("disable", "Undo 'enable'; Python is as if it had never been on");
    command->fallthrough();
    add_names(command, options.get());
    command->add_flag("--all", options->all,
                      "Every interpreter below /usr and /usr/local; not virtual environments");
    command->add_flag("--json", options->json, "Print JSON");
    command->footer(
        "Example:\n"
        "  pycdsctl disable /usr/bin/python3 ~/venv\n"
        "  pycdsctl disable --all");
    command->callback([options, &action] { action = [options] { return run_disable(*options); }; });
}

}  // namespace pycds::ctl
