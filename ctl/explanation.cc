#include "ctl/explanation.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <map>
#include <optional>

#include "ctl/connection.h"
#include "ctl/distrust.h"
#include "ctl/image_tables.h"
#include "ctl/output.h"
#include "ctl/reasons.h"
#include "ctl/scripts.h"
#include "ctl/trial.h"

namespace pycds::ctl {
namespace {

// One answer of explain.py, by its keys.
using Answers = std::multimap<std::string, std::string>;

std::string get(const Answers& answers, const char* key) {
    const auto found = answers.find(key);
    return found != answers.end() ? found->second : std::string();
}

struct Said {
    Answers process;
    std::vector<Answers> modules;  // as many as were asked for
};

std::vector<Answers> answers_of(const std::vector<std::string>& fields) {
    std::vector<Answers> all;
    Answers current;
    for (size_t i = 0; i + 1 < fields.size(); i += 2) {
        if (fields[i] != "done") {
            current.emplace(fields[i], fields[i + 1]);
            continue;
        }
        all.push_back(std::move(current));
        current.clear();
    }
    return all;
}

std::string how_it_ended(const ChildEnd& end) {
    const std::string last = last_line(end.errors);
    return fmt::format("the process ended{}{}{}",
                       end.signal != 0   ? fmt::format(" by signal {}", end.signal)
                       : end.status != 0 ? fmt::format(" with status {}", end.status)
                                         : "",
                       last.empty() ? "" : ": ", last);
}

// A package that is imported for one name may end the process; the names after it get another.
Result<Said> ask_interpreter(const Target& target, const std::vector<std::string>& names,
                             const std::string& socket) {
    Said said;
    while (said.modules.size() < names.size()) {
        std::vector<std::string> arguments{"-B", "-c", kExplainScript};
        const auto next = names.begin() + static_cast<ptrdiff_t>(said.modules.size());
        arguments.insert(arguments.end(), next, names.end());
        Result<Trial> trial = try_program(target, std::move(arguments), socket);
        if (!trial) return trial.error();
        std::vector<Answers> answers = answers_of(trial->said);
        if (answers.empty()) {
            return Error{ErrorCode::kSystem,
                         fmt::format("a program that was started did not begin as it should: {}",
                                     how_it_ended(trial->end))};
        }
        if (said.process.empty()) said.process = std::move(answers.front());
        said.modules.insert(said.modules.end(), std::make_move_iterator(answers.begin() + 1),
                            std::make_move_iterator(answers.end()));
        if (said.modules.size() < names.size()) {
            said.modules.push_back(
                {{"asked", names[said.modules.size()]}, {"error", how_it_ended(trial->end)}});
        }
    }
    return said;
}

struct MappedImage {
    std::string id;      // empty: the daemon has another one in its place by now
    std::string domain;  // as domain_text()
    std::optional<ImageTables> tables;
};

// In the order in which the client looks a module up in them.
Result<std::vector<MappedImage>> mapped_images(const Answers& process, const std::string& socket) {
    std::vector<MappedImage> images;
    const auto [begin, end] = process.equal_range("image");
    if (begin == end) return images;
    Result<Connection> daemon = Connection::open(socket);
    if (!daemon) return daemon.error();
    Result<wire::ListReply> list = daemon->ask<wire::ListReply>(wire::ListRequest{});
    if (!list) return list.error();
    for (auto said = begin; said != end; ++said) {
        const size_t space = said->second.find(' ');
        MappedImage& image = images.emplace_back();
        image.domain = said->second.substr(0, space);
        for (const wire::ImageInfo& info : list->images) {
            // No two images of a daemon have one generation.
            if (std::to_string(info.generation) != said->second.substr(space + 1)) continue;
            Result<LoadedImage> loaded = load_image(info.id, socket);
            if (!loaded && loaded.error().code == ErrorCode::kNotFound) break;
            if (!loaded) return loaded.error();
            Result<ImageTables> tables = ImageTables::open(std::move(*loaded), "image " + info.id);
            if (!tables) return tables.error();
            image.id = info.id;
            image.domain = domain_text(info);
            image.tables = std::move(*tables);
            break;
        }
    }
    return images;
}

void name_image(const MappedImage& image, Explanation* out) {
    out->image = image.id;
    out->domain = image.domain;
}

void not_served(Explanation* out, std::string_view reason, std::string sentence) {
    out->verdict = Verdict::kNotServed;
    out->reason = reason;
    out->sentence = std::move(sentence);
}

// With who or what it is that everybody cannot trust.
std::string left_out_sentence(std::string_view reason, const std::string& source,
                              const std::string& pyc) {
    std::string sentence(explain_left_out(reason));
    if (reason != image::left_out_reason_name(image::LeftOutReason::kNotTrusted)) return sentence;
    const std::optional<Distrust> distrust = find_distrust(source, pyc);
    if (!distrust) return sentence + "; by now that is so";
    return sentence + fmt::format(
                          ", and {} {}; whose file it is can have an image of it for himself "
                          "('pycdsctl build')",
                          distrust->path, distrust->what);
}

bool explain_other_path(const std::string& pyc, const std::vector<MappedImage>& images,
                        Explanation* out) {
    struct stat st {};
    if (stat(pyc.c_str(), &st) != 0) return false;
    for (const MappedImage& image : images) {
        if (!image.tables) continue;
        const std::optional<std::string> other = image.tables->source_of_pyc(st);
        if (!other) continue;
        name_image(image, out);
        not_served(out, "other-path",
                   fmt::format("{} ({})", explain_finding("other-path"), *other));
        return true;
    }
    return false;
}

// No image that the process maps has it.
void explain_absence(const Answers& said, const std::vector<MappedImage>& images,
                     Explanation* out) {
    const std::string pyc = get(said, "pyc");
    const std::string state = get(said, "state");
    bool only_the_systems = true;
    for (const MappedImage& image : images) {
        only_the_systems &= image.domain == "system";
        if (!image.tables) continue;
        if (const auto why = image.tables->why_left_out(out->source)) {
            const std::string reason = image::left_out_reason_name(*why);
            name_image(image, out);
            std::string sentence = left_out_sentence(reason, out->source, pyc);
            if (state.empty() && reason != "not-trusted") {
                sentence +=
                    "; that was so when the image was made, so build it anew "
                    "('pycdsctl build')";
            }
            return not_served(out, reason, std::move(sentence));
        }
    }
    if (!state.empty()) {
        return not_served(
            out, state,
            fmt::format("in no image, and none can have it as it is: {}", explain_left_out(state)));
    }
    if (explain_other_path(pyc, images, out)) return;
    if (only_the_systems && find_distrust(out->source, pyc)) {
        return not_served(out, "not-trusted", left_out_sentence("not-trusted", out->source, pyc));
    }
    not_served(out, "not-in-image", std::string(explain_miss("not-in-image")));
}

void served(const std::vector<MappedImage>& images, Explanation* out) {
    out->verdict = Verdict::kServed;
    for (const MappedImage& image : images) {
        if (image.tables && image.tables->has_root(out->source)) return name_image(image, out);
    }
}

// The client looked into an image, or did not get so far.
void explain_miss_of(const Answers& said, const std::string& miss, Explanation* out) {
    std::string sentence(explain_miss(miss));
    const std::string state = get(said, "state");
    if (miss == "importlib-changed" && said.contains("prefix")) {
        sentence += ": sys.pycache_prefix is set, and images know only __pycache__";
    } else if (!state.empty() && (miss == "source-changed" || miss == "pyc-changed")) {
        sentence += fmt::format("; before that, {}", explain_left_out(state));
    }
    not_served(out, miss, std::move(sentence));
}

const char* no_code_sentence(std::string_view kind) {
    if (kind == "built-in") return "built into the interpreter";
    if (kind == "frozen") return "frozen in the interpreter";
    if (kind == "extension") return "an extension module";
    return "a namespace package, which is but directories";
}

Explanation judge(const Answers& said, const Answers& process,
                  const std::vector<MappedImage>& images) {
    Explanation out{get(said, "asked"), {}, get(said, "kind"), get(said, "source"), {}, {}, {}, {}};
    const std::string result = get(said, "result");
    if (said.contains("missing")) {
        out.verdict = Verdict::kNotFound;
        out.reason = "not-found";
        out.sentence = explain_finding(out.reason);
    } else if (!out.kind.empty() && out.kind != "source") {
        out.verdict = Verdict::kNoCode;
        out.sentence = no_code_sentence(out.kind);
    } else if (!process.contains("client")) {
        not_served(&out, "no-client", std::string(explain_finding("no-client")));
    } else if (!process.contains("attached")) {
        const std::string refusal = get(process, "reason");
        not_served(&out, refusal, std::string(explain_refusal(refusal)));
    } else if (said.contains("error")) {
        not_served(&out, "import-fails",
                   fmt::format("{}: {}", explain_finding("import-fails"), get(said, "error")));
    } else if (result == "served" && said.contains("early")) {
        not_served(&out, "loaded-too-early", std::string(explain_finding("loaded-too-early")));
    } else if (result == "served" || result == "already-served") {
        served(images, &out);
    } else if (result == "not-in-image") {
        explain_absence(said, images, &out);
    } else {
        explain_miss_of(said, result, &out);
    }
    return out;
}

}  // namespace

Result<std::vector<Explanation>> explain(const Target& target,
                                         const std::vector<std::string>& names,
                                         const std::string& socket) {
    Result<Said> said = ask_interpreter(target, names, socket);
    if (!said) return said.error();
    Result<std::vector<MappedImage>> images = mapped_images(said->process, socket);
    if (!images) return images.error();
    std::vector<Explanation> explanations;
    for (const Answers& answers : said->modules) {
        explanations.push_back(judge(answers, said->process, *images));
    }
    return explanations;
}

}  // namespace pycds::ctl
