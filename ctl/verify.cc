// pycdsctl verify: images of the daemon, or files.
#include <fmt/format.h>

#include <memory>
#include <vector>

#include "ctl/command.h"
#include "ctl/connection.h"
#include "ctl/image_source.h"
#include "ctl/json.h"
#include "ctl/output.h"
#include "src/common/base/text.h"
#include "src/common/image/validator.h"

namespace pycds::ctl {
namespace {

struct VerifyOptions {
    std::vector<std::string> images;
    bool all = false;
    bool json = false;
};

struct Finding {
    std::string image;
    uint64_t size = 0;
    Status status = Ok{};
};

Finding look_at(const std::string& name, const std::string& socket_path) {
    Result<LoadedImage> loaded = load_image(name, socket_path);
    if (!loaded) return {name, 0, loaded.error()};
    const auto bytes = loaded->bytes();
    return {name, bytes.size(), judge(name, image::validate_image(bytes.data(), bytes.size()))};
}

Result<std::vector<std::string>> every_id(const std::string& socket_path) {
    Result<Connection> daemon = Connection::open(socket_path);
    if (!daemon) return daemon.error();
    Result<wire::ListReply> list = daemon->ask<wire::ListReply>(wire::ListRequest{});
    if (!list) return list.error();
    std::vector<std::string> ids;
    for (const wire::ImageInfo& image : list->images) ids.push_back(image.id);
    return ids;
}

// `failure`, if there is one, is that of the whole command.
std::string json_text(const std::vector<Finding>& findings, const Error* failure) {
    JsonWriter json;
    json.begin_object().key("images").begin_array();
    for (const Finding& finding : findings) {
        json.begin_object()
            .field("image", finding.image)
            .field("ok", finding.status.ok())
            .field("size", finding.size);
        if (!finding.status) write_json(json.key("error"), finding.status.error());
        json.end_object();
    }
    json.end_array();
    if (failure != nullptr) write_json(json.key("error"), *failure);
    json.end_object();
    return json.text();
}

std::string people_text(const std::vector<Finding>& findings) {
    std::string text;
    for (const Finding& finding : findings) {
        text += finding.status ? fmt::format("{}: good, {}\n", printable(finding.image),
                                             human_size(finding.size))
                               : printable(finding.status.error().message) + '\n';
    }
    return text;
}

Status run_verify(const VerifyOptions& options, const std::string& socket_path) {
    std::vector<std::string> names = options.images;
    if (options.all) {
        Result<std::vector<std::string>> ids = every_id(socket_path);
        if (!ids) return ids.error();
        names = *ids;
    } else if (names.empty()) {
        return Error{ErrorCode::kInvalidArgument, "verify wants images, or --all"};
    }
    std::vector<Finding> findings;
    for (const std::string& name : names) findings.push_back(look_at(name, socket_path));

    size_t bad = 0;
    const Error* first = nullptr;
    for (const Finding& finding : findings) {
        if (finding.status) continue;
        ++bad;
        if (first == nullptr) first = &finding.status.error();
    }
    // One image that is bad is the error itself; of several, standard output has each.
    if (findings.size() == 1 && first != nullptr && !options.json) return *first;
    Status status = Ok{};
    if (first != nullptr) {
        status =
            Error{first->code, fmt::format("{} of {} failed, the first: {}", bad,
                                           count_text(findings.size(), "image"), first->message)};
    }
    Status printed =
        print_out(options.json ? json_text(findings, status ? nullptr : &status.error())
                               : people_text(findings));
    return printed ? status : printed;
}

}  // namespace

void add_verify_command(CLI::App& app, const Globals& globals, Action& action) {
    auto options = std::make_shared<VerifyOptions>();
    CLI::App* command =
        app.add_subcommand("verify", "Check every byte, pointer and table of images");
    command->fallthrough();
    CLI::Option* images =
        command
            ->add_option("IMAGE", options->images,
                         "Ids of images, as list prints them, or paths of files with a '/' in them")
            ->type_name("");
    command->add_flag("--all", options->all, "Every image that you may map")->excludes(images);
    command->add_flag("--json", options->json, "Print JSON");
    command->footer(
        "Exit status 6 if an image is not what it claims to be.\n\n"
        "Example:\n  pycdsctl verify --all && echo every image is good");
    command->callback([options, &globals, &action] {
        action = [options, &globals] {
            return run_verify(*options, choose_socket(globals.socket));
        };
    });
}

}  // namespace pycds::ctl
