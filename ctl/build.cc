// pycdsctl build: from what the user names to a published image.
#include <fmt/format.h>

#include <filesystem>
#include <memory>
#include <utility>

#include "ctl/command.h"
#include "ctl/connection.h"
#include "ctl/interpreter.h"
#include "ctl/json.h"
#include "ctl/offer.h"
#include "ctl/output.h"
#include "ctl/progress.h"
#include "ctl/table.h"
#include "src/common/base/text.h"

namespace pycds::ctl {
namespace {

struct BuildOptions {
    std::string python = "python3";
    std::vector<std::string> modules;
    std::string imports;
    std::string trace;
    bool all = false;
    uint32_t optimize = 0;
    bool for_run = false;
    bool hashes = false;
    uint32_t timeout_seconds = 600;
    bool json = false;
};

PlanRequest plan_request(const BuildOptions& options) {
    PlanRequest request;
    request.optimize = options.optimize;
    if (!options.modules.empty()) {
        request.mode = PlanRequest::Mode::kModules;
        request.names = options.modules;
    } else if (!options.imports.empty()) {
        request.mode = PlanRequest::Mode::kImport;
        request.names = split_names(options.imports);
    } else if (!options.trace.empty()) {
        request.mode = PlanRequest::Mode::kTrace;
        request.trace_file = options.trace;
    }
    return request;
}

std::string json_text(const Interpreter& python, uint32_t planned, const wire::BuildReply& reply) {
    JsonWriter json;
    json.begin_object()
        .field("python", python.executable)
        .field("version", python.version)
        .field("planned", planned)
        .field("milliseconds", reply.milliseconds)
        .key("images")
        .begin_array();
    for (const wire::ImageInfo& image : reply.images) write_json(json, image);
    json.end_array().key("left_out").begin_array();
    for (const wire::LeftOutCount& left : reply.left_out) {
        json.begin_object().field("reason", left.reason).field("count", left.count).end_object();
    }
    json.end_array().end_object();
    return json.text();
}

std::string people_text(const Interpreter& python, uint32_t planned,
                        const wire::BuildReply& reply) {
    std::string text = fmt::format(
        "built {} for {} (Python {}) from {} in {}\n", count_text(reply.images.size(), "image"),
        printable(python.executable), printable(python.version), count_text(planned, "source"),
        duration_text(reply.milliseconds));
    for (const wire::ImageInfo& image : reply.images) {
        text += fmt::format("image {}: {}, domain {}, {}\n", printable(image.id),
                            count_text(image.roots, "module"), domain_text(image),
                            human_size(image.size));
    }
    uint64_t left_out = 0;
    for (const wire::LeftOutCount& left : reply.left_out) left_out += left.count;
    if (left_out == 0) return text;
    text += fmt::format("left out {} ('pycdsctl show --left-out {}' names them):\n",
                        count_text(left_out, "source"),
                        reply.images.empty() ? "IMAGE" : printable(reply.images.front().id));
    Table table({{"", Table::Align::kLeft}, {"", Table::Align::kRight}});
    for (const wire::LeftOutCount& left : reply.left_out) {
        table.add({"  " + left.reason, std::to_string(left.count)});
    }
    // Without the line of titles, which are empty.
    const std::string rows = table.text();
    return text + rows.substr(rows.find('\n') + 1);
}

// From a daemon that follows no path of ours: with the contents of our files.
Result<wire::BuildReply> build_offered(const Interpreter& python, int plan,
                                       wire::BuildRequest request, Connection& daemon,
                                       Connection::Options& call) {
    Result<OwnSources> own = own_sources(plan);
    if (!own) return own.error();
    // In a virtual environment the interpreter is a link to the system's.
    std::error_code ignored;
    request.python = std::filesystem::canonical(python.executable, ignored);
    request.offered = true;
    Offer offer(std::move(own->paths), python.cache_tag, request.optimize);
    call.on_sources = [&offer](UniqueFd socket) { offer.start(std::move(socket)); };
    Result<wire::BuildReply> reply = daemon.ask<wire::BuildReply>(request, call);
    if (reply && own->of_the_system != 0) {
        reply->left_out.push_back(wire::LeftOutCount{"of-the-system", own->of_the_system});
    }
    return reply;
}

Status run_build(const BuildOptions& options, const std::string& socket_path) {
    const PlanRequest request = plan_request(options);
    if (request.mode == PlanRequest::Mode::kImport && request.names.empty()) {
        return Error{ErrorCode::kInvalidArgument, "--import names no module"};
    }
    Result<Interpreter> python = find_interpreter(options.python);
    if (!python) return python.error();
    // Without a daemon there is no use in looking for modules. Not kept: looking can take long, and
    // the daemon hangs up on those who have nothing to say.
    if (const Result<Connection> probe = Connection::open(socket_path); !probe) {
        return probe.error();
    }

    Result<wire::BuildReply> reply = wire::BuildReply{};
    uint32_t planned = 0;
    {
        Progress progress;
        const auto tick = [&progress] { progress.tick(); };
        progress.set("looking for modules", 0, 0);
        Result<Plan> plan = make_plan(*python, request, tick);
        if (!plan) return plan.error();
        planned = plan->count;

        progress.set("waiting for the daemon", 0, 0);
        Result<Connection> daemon = Connection::open(socket_path);
        if (!daemon) return daemon.error();
        // Nobody's descriptors pass before the daemon has seen whose they are, as it has after this.
        const Result<wire::StatusReply> greeting =
            daemon->ask<wire::StatusReply>(wire::StatusRequest{});
        if (!greeting) return greeting.error();
        Connection::Options call;
        call.patience = std::chrono::seconds(options.timeout_seconds);
        call.tick = tick;
        call.on_progress = [&progress](const wire::BuildProgress& step) {
            progress.set("building the image", step.done, step.total);
        };
        wire::BuildRequest build{python->executable, options.optimize, options.for_run, false,
                                 options.hashes};
        if (!daemon->is_of_another()) {
            call.fd = plan->fd.get();
            reply = daemon->ask<wire::BuildReply>(build, call);
        } else {
            reply = build_offered(*python, plan->fd.get(), build, *daemon, call);
        }
    }
    if (!reply) return reply.error();
    return print_out(options.json ? json_text(*python, planned, *reply)
                                  : people_text(*python, planned, *reply));
}

}  // namespace

void add_build_command(CLI::App& app, const Globals& globals, Action& action) {
    auto options = std::make_shared<BuildOptions>();
    CLI::App* command = app.add_subcommand("build", "Make and publish an image, and wait for it");
    command->fallthrough();
    command
        ->add_option("--python", options->python,
                     "Interpreter to build for: a path, or a name looked up in PATH")
        ->type_name("PYTHON")
        ->capture_default_str();
    CLI::Option* modules =
        command
            ->add_option("MODULE", options->modules,
                         "Modules to put in; of a package everything in its directories. Nothing "
                         "of them is executed")
            ->type_name("");
    CLI::Option* imports =
        command
            ->add_option("--import", options->imports,
                         "Import these modules, separated by commas, with PYTHON, and put in "
                         "whatever that loads")
            ->type_name("MODULES");
    CLI::Option* trace =
        command
            ->add_option("--trace", options->trace,
                         "Put in what the lines of FILE name: absolute source paths or modules, # "
                         "starts a comment, - is standard input")
            ->type_name("FILE");
    CLI::Option* all = command->add_flag(
        "--all", options->all,
        "Put in everything that has a .pyc in the directories of sys.path (the default)");
    modules->excludes(imports)->excludes(trace)->excludes(all);
    imports->excludes(trace)->excludes(all);
    trace->excludes(all);
    command->add_option("-O,--optimize", options->optimize, "Build for PYTHON -O (1) or -OO (2)")
        ->type_name("LEVEL")
        ->check(CLI::Range(0, 2));
    command->add_flag("--run", options->for_run,
                      "Build for processes of `pycdsctl run`, which have an image of their own");
    command->add_flag("--hash-seed", options->hashes,
                      "Build for processes of `pycdsctl run --hash-seed`, likewise; it ends with the daemon");
    command
        ->add_option("--timeout", options->timeout_seconds,
                     "Give up when the daemon has been silent for so long")
        ->type_name("SECONDS")
        ->check(CLI::Range(1, 86400))
        ->capture_default_str();
    command->add_flag("--json", options->json, "Print JSON");
    command->footer(
        "Examples:\n"
        "  pycdsctl build --python /usr/bin/python3 --import 'flask, requests'\n"
        "  pycdsctl build --python venv/bin/python mypackage json email");
    command->callback([options, &globals, &action] {
        action = [options, &globals] { return run_build(*options, choose_socket(globals.socket)); };
    });
}

}  // namespace pycds::ctl
