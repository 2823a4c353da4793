// pycdsctl show.
#include <memory>

#include "ctl/command.h"
#include "ctl/connection.h"
#include "ctl/image_source.h"
#include "ctl/output.h"
#include "src/common/image/printer.h"
#include "src/common/image/validator.h"

namespace pycds::ctl {
namespace {

struct ShowOptions {
    std::string image;
    bool roots = false;
    bool left_out = false;
    bool json = false;
};

Status run_show(const ShowOptions& options, const std::string& socket_path) {
    Result<LoadedImage> loaded = load_image(options.image, socket_path);
    if (!loaded) return loaded.error();
    const auto bytes = loaded->bytes();
    // The printer follows offsets; only a valid image has ones that lead somewhere. Of another
    // format version it prints the frozen prefix and follows nothing.
    const image::Verdict verdict = image::validate_image(bytes.data(), bytes.size());
    if (verdict.defect != image::Defect::kFormatVersion) {
        Status valid = judge(options.image, verdict);
        if (!valid) return valid;
    }
    image::PrintOptions print;
    print.roots = options.roots;
    print.left_out = options.left_out;
    return print_out(options.json ? image::print_json(bytes, print)
                                  : image::print_text(bytes, print));
}

}  // namespace

void add_show_command(CLI::App& app, const Globals& globals, Action& action) {
    auto options = std::make_shared<ShowOptions>();
    CLI::App* command = app.add_subcommand("show", "Say what is in an image");
    command->fallthrough();
    command
        ->add_option("IMAGE", options->image,
                     "Id of an image, as list prints it, or path of a file with a '/' in it")
        ->type_name("")
        ->required();
    command->add_flag("--roots", options->roots, "Also each module");
    command->add_flag("--left-out", options->left_out,
                      "Also each source that was left out, and why");
    command->add_flag("--json", options->json, "Print JSON");
    command->footer("Example:\n  pycdsctl show --left-out IMAGE");
    command->callback([options, &globals, &action] {
        action = [options, &globals] { return run_show(*options, choose_socket(globals.socket)); };
    });
}

}  // namespace pycds::ctl
