// pycdsctl explain.
#include <fmt/format.h>

#include <algorithm>
#include <memory>

#include "ctl/command.h"
#include "ctl/explanation.h"
#include "ctl/json.h"
#include "ctl/output.h"
#include "ctl/trial.h"
#include "src/common/base/text.h"

namespace pycds::ctl {
namespace {

struct ExplainOptions {
    std::string python = "python3";
    std::vector<std::string> names;
    bool json = false;
};

const char* verdict_name(Verdict verdict) {
    switch (verdict) {
        case Verdict::kServed: return "served";
        case Verdict::kNotServed: return "not-served";
        case Verdict::kNoCode: return "no-code";
        case Verdict::kNotFound: return "not-found";
    }
    return "not-served";
}

Status check_name(const std::string& name) {
    const bool is_path = name.find('/') != std::string::npos;
    if (is_path && !name.ends_with(".py")) {
        return Error{ErrorCode::kInvalidArgument,
                     fmt::format("{} is no source file: only what ends with .py is imported, and "
                                 "kept compiled",
                                 name)};
    }
    if (!is_path && (name.empty() || name.starts_with('.') || name.ends_with('.') ||
                     name.find("..") != std::string::npos)) {
        return Error{
            ErrorCode::kInvalidArgument,
            fmt::format("'{}' is no name of a module: name it in full, or its file", name)};
    }
    return Ok{};
}

std::string json_text(const Target& target, const std::vector<Explanation>& explanations) {
    JsonWriter json;
    json.begin_object()
        .field("python", target.python.path)
        .field("version", target.python.version)
        .key("modules")
        .begin_array();
    for (const Explanation& explanation : explanations) {
        json.begin_object()
            .field("module", explanation.asked)
            .field("verdict", verdict_name(explanation.verdict));
        const auto field = [&json](const char* name, const std::string& value) {
            if (!value.empty()) json.field(name, value);
        };
        field("kind", explanation.kind);
        field("source", explanation.source);
        field("image", explanation.image);
        field("domain", explanation.domain);
        field("reason", explanation.reason);
        field("sentence", explanation.sentence);
        json.end_object();
    }
    json.end_array().end_object();
    return json.text();
}

std::string image_text(const Explanation& explanation) {
    if (explanation.image.empty()) return "an image that the daemon has replaced since";
    return fmt::format("image {} ({})", explanation.image, explanation.domain);
}

std::string verdict_text(const Explanation& explanation) {
    switch (explanation.verdict) {
        case Verdict::kServed: return "served from " + image_text(explanation);
        case Verdict::kNoCode: return "no code that could be shared: " + explanation.sentence;
        case Verdict::kNotFound: return explanation.sentence;
        case Verdict::kNotServed: break;
    }
    std::string text = fmt::format("not served ({}): ", explanation.reason);
    if (!explanation.image.empty() && explanation.reason != "other-path") {
        text += fmt::format("left out of {}: ", image_text(explanation));
    }
    return text + explanation.sentence;
}

std::string people_text(const std::vector<Explanation>& explanations) {
    std::string text;
    for (const Explanation& explanation : explanations) {
        text += fmt::format("{}: {}\n", printable(explanation.asked),
                            printable(verdict_text(explanation)));
        if (!explanation.source.empty() && explanation.source != explanation.asked) {
            text += fmt::format("  {}\n", printable(explanation.source));
        }
    }
    return text;
}

Status summary(const std::vector<Explanation>& explanations) {
    for (const Verdict verdict : {Verdict::kNotServed, Verdict::kNotFound}) {
        const auto is_it = [verdict](const Explanation& e) { return e.verdict == verdict; };
        const auto count = std::count_if(explanations.begin(), explanations.end(), is_it);
        if (count == 0) continue;
        const Explanation& first = *std::find_if(explanations.begin(), explanations.end(), is_it);
        const std::string which =
            count == 1 ? first.asked : fmt::format("{} and {} more", first.asked, count - 1);
        if (verdict == Verdict::kNotFound) {
            return Error{ErrorCode::kNotFound, fmt::format("not found: {}", which)};
        }
        return Error{ErrorCode::kSystem, fmt::format("not served: {} ({})", which, first.reason)};
    }
    return Ok{};
}

Status run_explain(const ExplainOptions& options, const std::string& wanted_socket) {
    for (const std::string& name : options.names) {
        Status good = check_name(name);
        if (!good) return good;
    }
    Result<Target> target = find_target(options.python);
    if (!target) return target.error();
    Result<std::vector<Explanation>> explanations =
        explain(*target, options.names, client_socket(wanted_socket));
    if (!explanations) return explanations.error();
    Status printed =
        print_out(options.json ? json_text(*target, *explanations) : people_text(*explanations));
    if (!printed) return printed;
    return summary(*explanations);
}

}  // namespace

void add_explain_command(CLI::App& app, const Globals& globals, Action& action) {
    auto options = std::make_shared<ExplainOptions>();
    CLI::App* command =
        app.add_subcommand("explain", "Say whether modules come from an image, and if not why");
    command->fallthrough();
    command
        ->add_option("--python", options->python,
                     "An interpreter, by path or name in PATH, or the directory of a virtual "
                     "environment")
        ->type_name("PYTHON-or-VENV")
        ->capture_default_str();
    command
        ->add_option("MODULE-or-FILE", options->names,
                     "Modules, by their full names, or source files (with a slash, or .py at the "
                     "end)")
        ->type_name("")
        ->required();
    command->add_flag("--json", options->json, "Print JSON");
    command->footer(
        "Runs a small program under the interpreter, in the environment and the directory of the "
        "caller, which asks for the code of each module as an import does. That executes none of "
        "them, but to find a module the packages above it are imported, which may do anything. Of "
        "a file nothing is imported.\n\n"
        "The exit status is 0 if all are served or have no code that could be shared, 1 if one is "
        "not served, 3 if one is not found.\n\n"
        "JSON: \"modules\", with a \"module\" (as it was named), a \"verdict\" (served, "
        "not-served, "
        "no-code, not-found) and where there are any a \"kind\", \"source\", \"image\", "
        "\"domain\", "
        "\"reason\" and \"sentence\" each. The image is the one that serves the module, has it by "
        "another path, or left it out.\n\n"
        "Example:\n"
        "  pycdsctl explain json.decoder flask\n"
        "  pycdsctl explain --python ~/venv ~/src/program/module.py");
    command->callback([options, &globals, &action] {
        action = [options, &globals] { return run_explain(*options, globals.socket); };
    });
}

}  // namespace pycds::ctl
