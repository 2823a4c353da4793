#include "ctl/doctor.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <memory>

#include "ctl/command.h"
#include "ctl/connection.h"
#include "ctl/env.h"
#include "ctl/hook.h"
#include "ctl/json.h"
#include "ctl/output.h"
#include "ctl/reasons.h"
#include "ctl/target.h"
#include "ctl/trial.h"
#include "src/common/base/text.h"

namespace pycds::ctl {
namespace {

namespace fs = std::filesystem;
using enum Level;

struct DoctorOptions {
    std::string name = "python3";
    int pid = 0;
    bool json = false;
};

// As a program would: whatever is in the environment counts. Keys and values, each ended by NUL;
// misses last, for there may be any number.
constexpr const char* kTry = R"(import os, sys
client = sys.modules.get('_pycds')
import argparse, configparser, json
site = sys.modules.get('sitecustomize')
said = {'client': getattr(client, '__file__', ''), 'site': getattr(site, '__file__', '') or ''}
if client is not None:
    stats = client.stats()
    said['attached'] = '1' if stats['attached'] else ''
    said['reason'] = stats['reason'] or ''
    said['served'] = str(stats['served'])
    said['images'] = ', '.join('%s image of %d modules' % (image['domain'], image['modules'])
                               for image in stats['images'])
    for miss, count in stats['misses'].items():
        said['miss ' + miss] = str(count)
with os.fdopen(3, 'wb') as out:
    for pair in said.items():
        out.write(b''.join(os.fsencode(text) + b'\0' for text in pair))
)";

std::string variable(const char* name) {
    const char* value = std::getenv(name);
    return value != nullptr ? value : "";
}

// A directory of a client on PYTHONPATH, as pycdsctl env puts it there; empty if there is none.
std::string client_on_python_path(const Target& target) {
    std::string_view rest = std::getenv("PYTHONPATH") != nullptr ? std::getenv("PYTHONPATH") : "";
    while (!rest.empty()) {
        const size_t colon = rest.find(':');
        const fs::path entry(rest.substr(0, colon));
        std::error_code ignored;
        if (!entry.empty() && fs::exists(entry / ("sitecustomize" + target.suffix), ignored) &&
            fs::exists(entry / ("_pycds" + target.suffix), ignored)) {
            return entry.native();
        }
        if (colon == std::string_view::npos) break;
        rest.remove_prefix(colon + 1);
    }
    return {};
}

void check_interpreter(Diagnosis& diagnosis, const Target& target) {
    std::string sentence =
        fmt::format("{} is CPython {}", target.python.path, target.python.version);
    if (!target.venv.empty()) {
        sentence += fmt::format(", in the virtual environment {}", target.venv);
    }
    diagnosis.add("interpreter", kOk, sentence);
}

std::string check_client(Diagnosis& diagnosis, const Target& target) {
    Result<std::string> library = find_library(target);
    if (!library) {
        diagnosis.add("client", kProblem, library.error().message);
        return {};
    }
    diagnosis.add("client", kOk, fmt::format("there is one for it, {}", *library));
    return *library;
}

// False if the hook says nothing.
bool add_hook(Diagnosis& diagnosis, const Target& target, const Hook& hook, const char* where) {
    const std::string name = target.python.name;
    switch (hook.state) {
        case HookState::kOff: return false;
        case HookState::kOn:
            if (is_asleep(hook)) {
                diagnosis.add("hook", kProblem,
                              fmt::format("{} leads through {}, which is there only while "
                                          "pycdsd.socket listens: run 'systemctl start "
                                          "pycdsd.socket'",
                                          hook.file, kRunningClients));
            } else {
                diagnosis.add("hook", kOk, fmt::format("on {}, by {}", where, hook.file));
            }
            return true;
        case HookState::kStale:
            if (leads_to_client(hook, target)) {
                diagnosis.add(
                    "hook", kWarning,
                    fmt::format("on {}, by {}, which leads to the client of another pycds "
                                "than this pycdsctl's",
                                where, hook.file));
            } else {
                diagnosis.add(
                    "hook", kProblem,
                    fmt::format("{} is incomplete, or leads to a client that is gone or for "
                                "another version: run 'pycdsctl enable {}'",
                                hook.file, name));
            }
            return true;
        case HookState::kForeign:
            diagnosis.add("hook", kWarning,
                          fmt::format("{} is not from pycdsctl, which leaves it alone", hook.file));
            return false;
    }
    return false;
}

void check_hook(Diagnosis& diagnosis, const Target& target, const std::string& link) {
    bool any = false;
    if (const std::string path = client_on_python_path(target); !path.empty()) {
        diagnosis.add("hook", kOk, fmt::format("on by the environment: {} is in PYTHONPATH", path));
        any = true;
    }
    const bool base = add_hook(
        diagnosis, target, stdlib_hook(target, link),
        target.venv.empty() ? "for the interpreter" : "through the base of the environment");
    if (!target.venv.empty()) {
        any |= add_hook(diagnosis, target, venv_hook(target, link), "in the environment");
    }
    if (!any && !base) {
        diagnosis.add("hook", kProblem,
                      fmt::format("off: run 'pycdsctl enable {}'", target.python.name));
    }
}

void check_environment(Diagnosis& diagnosis) {
    const std::string mode = variable("PYCDS");
    if (mode == "off") {
        diagnosis.add("environment", kProblem,
                      "PYCDS=off is set here, which switches the client off: unset it");
    } else if (!mode.empty()) {
        diagnosis.add("environment", kOk, fmt::format("PYCDS={} is set here", mode));
    }
    for (const char* name : {"PYTHONVERBOSE", "PYTHONCASEOK"}) {
        if (!variable(name).empty()) {
            diagnosis.add("environment", kWarning,
                          fmt::format("{} is set here: imports then are stock's", name));
        }
    }
}

void check_images(Diagnosis& diagnosis, Connection& daemon, const Target& target,
                  const wire::StatusReply& status) {
    Result<wire::ListReply> list = daemon.ask<wire::ListReply>(wire::ListRequest{});
    if (!list) {
        diagnosis.add("image", kWarning, list.error().message);
        return;
    }
    std::string text;
    // The header keeps only so much of it.
    for (const wire::ImageInfo& image : list->images) {
        if (image.python.empty() || !target.build.starts_with(image.python)) continue;
        text +=
            fmt::format("{}{} ({}, {}, {})", text.empty() ? "" : ", ", image.id, domain_text(image),
                        count_text(image.roots, "module"), human_size(image.size));
    }
    if (!text.empty()) {
        diagnosis.add("image", kOk, text);
    } else if (status.builds_running != 0) {
        diagnosis.add("image", kProblem, "none for this interpreter yet: one is being built, wait");
    } else {
        diagnosis.add(
            "image", kProblem,
            fmt::format("none for this interpreter: run 'pycdsctl build --python {} --all'",
                        target.python.path));
    }
}

void check_daemon(Diagnosis& diagnosis, const Target& target, const std::string& socket) {
    Result<Connection> daemon = Connection::open(socket);
    if (!daemon) {
        diagnosis.add("daemon", kProblem, daemon.error().message);
        const std::string other = choose_socket({});
        std::error_code ignored;
        if (other != socket && fs::exists(other, ignored)) {
            diagnosis.add(
                "daemon", kWarning,
                fmt::format("another listens at {}: clients ask it if PYCDS_SOCKET is that "
                            "path",
                            other));
        }
        return;
    }
    Result<wire::StatusReply> status = daemon->ask<wire::StatusReply>(wire::StatusRequest{});
    if (!status) {
        diagnosis.add("daemon", kProblem, status.error().message);
        return;
    }
    const bool same = status->version == PYCDS_VERSION;
    diagnosis.add("daemon", same ? kOk : kWarning,
                  fmt::format("pycdsd {} answers at {}{}", status->version, socket,
                              same ? ""
                                   : ", another version than this pycdsctl: restart it after an "
                                     "upgrade"));
    check_images(diagnosis, *daemon, target, *status);
}

void judge_run(Diagnosis& diagnosis, std::map<std::string, std::string>& said) {
    if (said["client"].empty()) {
        const std::string site = said["site"];
        diagnosis.add("run", kProblem,
                      fmt::format("a program that was started did not load the client{}",
                                  site.empty() ? ""
                                               : fmt::format(" (its sitecustomize is {}, which "
                                                             "may stand before the client's)",
                                                             site)));
        return;
    }
    if (said["attached"].empty()) {
        diagnosis.add("run", kProblem,
                      fmt::format("a program that was started got no image ({}): {}",
                                  said["reason"], explain_refusal(said["reason"])));
        return;
    }
    diagnosis.add("run", said["served"] == "0" ? kWarning : kOk,
                  fmt::format("a program that was started got {} and from there {} of its modules",
                              said["images"], said["served"]));
    for (const auto& [key, count] : said) {
        if (!key.starts_with("miss ")) continue;
        diagnosis.add("run", said["served"] == "0" ? kWarning : kOk,
                      fmt::format("not from an image, {}: {}",
                                  count_text(std::strtoull(count.c_str(), nullptr, 10), "module"),
                                  explain_miss(key.substr(5))));
    }
}

Status check_run(Diagnosis& diagnosis, const Target& target, const std::string& socket) {
    Result<Trial> trial = try_program(target, {"-c", kTry}, socket);
    if (!trial) return trial.error();
    const std::vector<std::string>& fields = trial->said;
    if (trial->end.signal != 0 || trial->end.status != 0 || fields.size() % 2 != 0 ||
        fields.empty()) {
        diagnosis.add("run", kProblem,
                      fmt::format("a program that was started did not end as it should: {}",
                                  last_line(trial->end.errors)));
        return Ok{};
    }
    std::map<std::string, std::string> said;
    for (size_t i = 0; i < fields.size(); i += 2) said[fields[i]] = fields[i + 1];
    judge_run(diagnosis, said);
    return Ok{};
}

Result<Diagnosis> diagnose(const DoctorOptions& options, const std::string& wanted_socket) {
    Result<Target> target = find_target(options.name);
    if (!target) return target.error();
    const std::string socket = client_socket(wanted_socket);
    Diagnosis diagnosis;
    check_interpreter(diagnosis, *target);
    const std::string library = check_client(diagnosis, *target);
    check_hook(diagnosis, *target, library.empty() ? library : link_to(library));
    check_environment(diagnosis);
    check_daemon(diagnosis, *target, socket);
    Status run = check_run(diagnosis, *target, socket);
    if (!run) return run.error();
    return diagnosis;
}

const char* level_name(Level level) {
    switch (level) {
        case kOk: return "ok";
        case kWarning: return "warning";
        case kProblem: return "problem";
    }
    return "problem";
}

std::string json_text(const Diagnosis& diagnosis) {
    JsonWriter json;
    json.begin_object().field("works", diagnosis.problem() == nullptr).key("checks").begin_array();
    for (const Check& check : diagnosis.checks) {
        json.begin_object()
            .field("check", check.name)
            .field("level", level_name(check.level))
            .field("sentence", check.sentence)
            .end_object();
    }
    json.end_array().end_object();
    return json.text();
}

std::string people_text(const Diagnosis& diagnosis) {
    std::string text;
    for (const Check& check : diagnosis.checks) {
        text += fmt::format("{:<8} {:<12} {}\n", level_name(check.level), check.name,
                            printable(check.sentence));
    }
    return text;
}

Status run_doctor(const DoctorOptions& options, const std::string& wanted_socket) {
    Result<Diagnosis> diagnosis =
        options.pid != 0 ? diagnose_process(options.pid) : diagnose(options, wanted_socket);
    if (!diagnosis) return diagnosis.error();
    Status printed = print_out(options.json ? json_text(*diagnosis) : people_text(*diagnosis));
    if (!printed) return printed;
    const Check* problem = diagnosis->problem();
    if (problem == nullptr) return Ok{};
    return Error{ErrorCode::kSystem, fmt::format("nothing is shared: {}", problem->sentence)};
}

}  // namespace

const Check* Diagnosis::problem() const {
    const auto found = std::find_if(checks.begin(), checks.end(),
                                    [](const Check& check) { return check.level == kProblem; });
    return found != checks.end() ? &*found : nullptr;
}

void add_doctor_command(CLI::App& app, const Globals& globals, Action& action) {
    auto options = std::make_shared<DoctorOptions>();
    CLI::App* command = app.add_subcommand(
        "doctor", "Say whether sharing works for an interpreter or a process, and if not why");
    command->fallthrough();
    CLI::Option* name =
        command
            ->add_option("PYTHON", options->name,
                         "An interpreter, by path or name in PATH, or the directory of a virtual "
                         "environment")
            ->type_name("PYTHON-or-VENV")
            ->capture_default_str();
    command->add_option("--pid", options->pid, "Look at this process instead")
        ->type_name("PID")
        ->check(CLI::PositiveNumber)
        ->excludes(name);
    command->add_flag("--json", options->json, "Print JSON");
    command->footer(
        "Runs a small program under the interpreter, in the environment of the caller. The exit "
        "status is 0 if sharing works, 1 if not.\n\n"
        "JSON: \"works\", and \"checks\" with a \"check\", a \"level\" (ok, warning, problem) and "
        "a "
        "\"sentence\" each.\n\n"
        "Example:\n"
        "  pycdsctl doctor /usr/bin/python3\n"
        "  pycdsctl doctor --pid 4711");
    command->callback([options, &globals, &action] {
        action = [options, &globals] { return run_doctor(*options, globals.socket); };
    });
}

}  // namespace pycds::ctl
