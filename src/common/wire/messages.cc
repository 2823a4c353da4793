#include "src/common/wire/messages.h"

#include <google/protobuf/stubs/common.h>

#include <algorithm>
#include <limits>
#include <string_view>
#include <utility>

#if GOOGLE_PROTOBUF_VERSION < 4022000
#include <google/protobuf/stubs/logging.h>
#endif

#include "pycds.pb.h"

namespace pycds::wire {
namespace {

// Builds an overload set for std::visit.
template <typename... F>
struct Overloaded : F... {
    using F::operator()...;
};
template <typename... F>
Overloaded(F...) -> Overloaded<F...>;

// The library writes a line to stderr for each string that is not UTF-8. A peer must not be able
// to fill the log.
void silence_library() {
#if GOOGLE_PROTOBUF_VERSION < 4022000
    [[maybe_unused]] static const auto previous = google::protobuf::SetLogHandler(nullptr);
#endif
}

bool is_continuation(char c) {
    return (static_cast<unsigned char>(c) & 0xc0) == 0x80;
}

// Length of the UTF-8 sequence at `text[at]`, or 0 if there is none (RFC 3629).
size_t utf8_sequence(std::string_view text, size_t at) {
    const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
    const unsigned char first = byte(at);
    if (first < 0x80) return 1;
    size_t size = 0;
    if (first >= 0xc2 && first <= 0xdf) size = 2;
    if (first >= 0xe0 && first <= 0xef) size = 3;
    if (first >= 0xf0 && first <= 0xf4) size = 4;
    if (size == 0 || size > text.size() - at) return 0;
    for (size_t i = 1; i < size; ++i) {
        if (!is_continuation(text[at + i])) return 0;
    }
    const unsigned char second = byte(at + 1);
    if (first == 0xe0 && second < 0xa0) return 0;  // overlong
    if (first == 0xed && second > 0x9f) return 0;  // surrogate
    if (first == 0xf0 && second < 0x90) return 0;  // overlong
    if (first == 0xf4 && second > 0x8f) return 0;  // beyond U+10FFFF
    return size;
}

// A proto3 string is UTF-8, and a parser refuses a message where one is not. Paths, which error
// texts quote, are bytes; what is not UTF-8 in them becomes '?'.
std::string as_utf8(std::string_view text) {
    std::string out;
    out.reserve(text.size());
    for (size_t at = 0; at < text.size();) {
        const size_t size = utf8_sequence(text, at);
        if (size == 0) {
            out.push_back('?');
            ++at;
        } else {
            out.append(text.substr(at, size));
            at += size;
        }
    }
    return out;
}

void put_identity(const Identity& identity, std::string* out) {
    out->assign(reinterpret_cast<const char*>(identity.data()), identity.size());
}

bool get_identity(const std::string& bytes, Identity* out) {
    if (bytes.size() != out->size()) return false;
    std::copy(bytes.begin(), bytes.end(), out->begin());
    return true;
}

void put_image(const ImageInfo& in, pb::ImageInfo* out) {
    out->set_id(as_utf8(in.id));
    put_identity(in.identity, out->mutable_identity());
    out->set_python(as_utf8(in.python));
    out->set_generation(in.generation);
    out->set_domain(static_cast<pb::Domain>(in.domain));
    out->set_domain_uid(in.domain_uid);
    out->set_size(in.size);
    out->set_requested_base(in.requested_base);
    out->set_roots(in.roots);
    out->set_left_out(in.left_out);
    out->set_published_unix_ms(in.published_unix_ms);
    out->set_attaches(in.attaches);
    out->set_runtime_base(in.runtime_base);
}

// An open enum: a number that a newer peer knows becomes kUnspecified, which nobody may map.
Domain get_domain(int number) {
    switch (number) {
        case static_cast<int>(Domain::kSystem): return Domain::kSystem;
        case static_cast<int>(Domain::kUser): return Domain::kUser;
        default: return Domain::kUnspecified;
    }
}

// An identity that is absent reads as zeros, like every other absent field.
bool get_image(const pb::ImageInfo& in, ImageInfo* out) {
    if (!in.identity().empty() && !get_identity(in.identity(), &out->identity)) return false;
    out->id = in.id();
    out->python = in.python();
    out->generation = in.generation();
    out->domain = get_domain(in.domain());
    out->domain_uid = in.domain_uid();
    out->size = in.size();
    out->requested_base = in.requested_base();
    out->roots = in.roots();
    out->left_out = in.left_out();
    out->published_unix_ms = in.published_unix_ms();
    out->attaches = in.attaches();
    out->runtime_base = in.runtime_base();
    return true;
}

template <typename Repeated>
bool get_images(const Repeated& in, std::vector<ImageInfo>* out) {
    out->resize(static_cast<size_t>(in.size()));
    for (int i = 0; i < in.size(); ++i) {
        if (!get_image(in.Get(i), &(*out)[static_cast<size_t>(i)])) return false;
    }
    return true;
}

ErrorCode get_error_code(uint32_t number) {
    if (number >= static_cast<uint32_t>(ErrorCode::kInvalidArgument) &&
        number <= static_cast<uint32_t>(ErrorCode::kSystem)) {
        return static_cast<ErrorCode>(number);
    }
    return ErrorCode::kSystem;
}

Error bad_identity() {
    return Error{ErrorCode::kInvalidArgument, "the identity of an interpreter is not 16 bytes"};
}

template <typename Message>
Result<Message> parse(std::span<const std::byte> packet) {
    silence_library();
    Message message;
    if (packet.size() > static_cast<size_t>(std::numeric_limits<int>::max()) ||
        !message.ParseFromArray(packet.data(), static_cast<int>(packet.size()))) {
        return Error{ErrorCode::kCorrupt,
                     "not a message of " + std::to_string(packet.size()) + " bytes"};
    }
    return message;
}

pb::Request to_proto(const Request& request) {
    pb::Request out;
    std::visit(Overloaded{
                   [&](const AttachRequest& in) {
                       put_identity(in.identity, out.mutable_attach()->mutable_identity());
                       out.mutable_attach()->set_format_version(in.format_version);
                   },
                   [&](const BuildRequest& in) {
                       out.mutable_build()->set_python(as_utf8(in.python));
                       out.mutable_build()->set_optimize(in.optimize);
                       out.mutable_build()->set_for_run(in.for_run);
                       out.mutable_build()->set_offered(in.offered);
                       out.mutable_build()->set_hashes(in.hashes);
                   },
                   [&](const ListRequest&) { out.mutable_list(); },
                   [&](const StatusRequest&) { out.mutable_status(); },
                   [&](const DropRequest& in) { out.mutable_drop()->set_id(as_utf8(in.id)); },
                   [&](const FetchRequest& in) { out.mutable_fetch()->set_id(as_utf8(in.id)); },
                   [&](const LayoutRequest&) { out.mutable_layout(); },
               },
               request);
    return out;
}

void put_build(const BuildReply& in, pb::BuildReply* out) {
    for (const ImageInfo& image : in.images) put_image(image, out->add_images());
    for (const LeftOutCount& count : in.left_out) {
        pb::LeftOutCount* entry = out->add_left_out();
        entry->set_reason(as_utf8(count.reason));
        entry->set_count(count.count);
    }
    out->set_milliseconds(in.milliseconds);
}

void put_status(const StatusReply& in, pb::StatusReply* out) {
    out->set_version(as_utf8(in.version));
    out->set_pid(in.pid);
    out->set_uptime_ms(in.uptime_ms);
    out->set_attaches(in.attaches);
    out->set_attach_misses(in.attach_misses);
    out->set_images(in.images);
    out->set_image_bytes(in.image_bytes);
    out->set_connections(in.connections);
    out->set_builds_running(in.builds_running);
    out->set_builds_done(in.builds_done);
    out->set_builds_failed(in.builds_failed);
}

pb::Reply to_proto(const Reply& reply) {
    pb::Reply out;
    std::visit(
        Overloaded{
            [&](const Error& in) {
                out.mutable_error()->set_code(static_cast<uint32_t>(in.code));
                out.mutable_error()->set_message(as_utf8(in.message));
            },
            [&](const AttachReply& in) {
                pb::AttachReply* attach = out.mutable_attach();
                for (const ImageInfo& image : in.images) {
                    put_image(image, attach->add_images());
                }
            },
            [&](const BuildReply& in) { put_build(in, out.mutable_build()); },
            [&](const ListReply& in) {
                pb::ListReply* list = out.mutable_list();
                for (const ImageInfo& image : in.images) {
                    put_image(image, list->add_images());
                }
            },
            [&](const StatusReply& in) { put_status(in, out.mutable_status()); },
            [&](const DropReply& in) { out.mutable_drop()->set_dropped(in.dropped); },
            [&](const FetchReply& in) {
                put_image(in.image, out.mutable_fetch()->mutable_image());
            },
            [&](const BuildProgress& in) {
                out.mutable_progress()->set_done(in.done);
                out.mutable_progress()->set_total(in.total);
            },
            [&](const LayoutReply& in) {
                out.mutable_layout()->set_common_base(in.common_base);
                out.mutable_layout()->set_hash_seed(in.hash_seed);
            },
            [&](const SourcesReply&) { out.mutable_sources(); },
        },
        reply);
    return out;
}

Result<Reply> get_build(const pb::BuildReply& in) {
    BuildReply out;
    if (!get_images(in.images(), &out.images)) return bad_identity();
    for (const pb::LeftOutCount& entry : in.left_out()) {
        out.left_out.push_back(LeftOutCount{entry.reason(), entry.count()});
    }
    out.milliseconds = in.milliseconds();
    return Reply{std::move(out)};
}

StatusReply get_status(const pb::StatusReply& in) {
    StatusReply out;
    out.version = in.version();
    out.pid = in.pid();
    out.uptime_ms = in.uptime_ms();
    out.attaches = in.attaches();
    out.attach_misses = in.attach_misses();
    out.images = in.images();
    out.image_bytes = in.image_bytes();
    out.connections = in.connections();
    out.builds_running = in.builds_running();
    out.builds_done = in.builds_done();
    out.builds_failed = in.builds_failed();
    return out;
}

}  // namespace

std::string encode(const Request& request) {
    return to_proto(request).SerializeAsString();
}

std::string encode(const Reply& reply) {
    return to_proto(reply).SerializeAsString();
}

Result<Request> decode_request(std::span<const std::byte> packet) {
    const Result<pb::Request> parsed = parse<pb::Request>(packet);
    if (!parsed) return parsed.error();
    const pb::Request& in = *parsed;
    switch (in.op_case()) {
        case pb::Request::kAttach: {
            AttachRequest out;
            if (!get_identity(in.attach().identity(), &out.identity)) return bad_identity();
            out.format_version = in.attach().format_version();
            return Request{out};
        }
        case pb::Request::kBuild:
            return Request{BuildRequest{in.build().python(), in.build().optimize(),
                                        in.build().for_run(), in.build().offered(),
                                        in.build().hashes()}};
        case pb::Request::kList: return Request{ListRequest{}};
        case pb::Request::kStatus: return Request{StatusRequest{}};
        case pb::Request::kDrop: return Request{DropRequest{in.drop().id()}};
        case pb::Request::kFetch: return Request{FetchRequest{in.fetch().id()}};
        case pb::Request::kLayout: return Request{LayoutRequest{}};
        case pb::Request::OP_NOT_SET: break;
    }
    return Error{ErrorCode::kInvalidArgument, "a request that this daemon does not know"};
}

Result<Reply> decode_reply(std::span<const std::byte> packet) {
    const Result<pb::Reply> parsed = parse<pb::Reply>(packet);
    if (!parsed) return parsed.error();
    const pb::Reply& in = *parsed;
    switch (in.result_case()) {
        case pb::Reply::kError:
            return Reply{Error{get_error_code(in.error().code()), in.error().message()}};
        case pb::Reply::kAttach: {
            AttachReply out;
            if (!get_images(in.attach().images(), &out.images)) return bad_identity();
            return Reply{std::move(out)};
        }
        case pb::Reply::kBuild: return get_build(in.build());
        case pb::Reply::kList: {
            ListReply out;
            if (!get_images(in.list().images(), &out.images)) return bad_identity();
            return Reply{std::move(out)};
        }
        case pb::Reply::kStatus: return Reply{get_status(in.status())};
        case pb::Reply::kDrop: return Reply{DropReply{in.drop().dropped()}};
        case pb::Reply::kFetch: {
            FetchReply out;
            if (!get_image(in.fetch().image(), &out.image)) return bad_identity();
            return Reply{std::move(out)};
        }
        case pb::Reply::kProgress:
            return Reply{BuildProgress{in.progress().done(), in.progress().total()}};
        case pb::Reply::kLayout: return Reply{LayoutReply{in.layout().common_base(), in.layout().hash_seed()}};
        case pb::Reply::kSources: return Reply{SourcesReply{}};
        case pb::Reply::RESULT_NOT_SET: break;
    }
    return Error{ErrorCode::kInvalidArgument, "a reply that this peer does not know"};
}

}  // namespace pycds::wire
