// Errors as values: Result<T> for daemon, tools and builder.
//
// A caller's mistake, a bad file or a lost peer is an Error that says what was wrong, where, and
// what to do about it. Only a broken invariant aborts. The in-process client does not use this
// header (std::string would make it need libstdc++); it reports enumerators instead.
#pragma once

#include <cerrno>
#include <cstring>
#include <string>
#include <utility>
#include <variant>

namespace pycds {

// What kind of condition an Error is, so that a caller can branch without reading its text. The
// numbers travel in proto/pycds.proto (ErrorCode) and become exit statuses of pycdsctl: never
// renumber.
enum class ErrorCode : int {
    kInvalidArgument = 1,   // the caller asked for something that cannot be
    kNotFound = 2,          // no such interpreter, module, image
    kPermissionDenied = 3,  // the peer may not ask for this
    kUnavailable = 4,       // no daemon, lost peer, limit reached: may work later
    kCorrupt = 5,           // bytes that are not what they claim to be
    kBuildFailed = 6,       // the builder failed, was killed or ran out of its limits
    kSystem = 7,            // a system call failed for a reason the caller cannot mend
};

struct Error {
    ErrorCode code = ErrorCode::kSystem;
    std::string message;  // one line, no trailing newline or full stop
};

// Error for a failed system call: "<what>: <strerror>". Reads errno, so call it at once.
inline Error errno_error(std::string what, int err = errno) {
    return Error{ErrorCode::kSystem, std::move(what) + ": " + std::strerror(err)};
}

template <typename T>
class [[nodiscard]] Result {
  public:
    Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}      // NOLINT
    Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}  // NOLINT

    bool ok() const { return state_.index() == 0; }
    explicit operator bool() const { return ok(); }

    T& value() & { return std::get<0>(state_); }
    const T& value() const& { return std::get<0>(state_); }
    T&& value() && { return std::get<0>(std::move(state_)); }
    T& operator*() & { return value(); }
    const T& operator*() const& { return value(); }
    T* operator->() { return &value(); }
    const T* operator->() const { return &value(); }

    const Error& error() const& { return std::get<1>(state_); }
    Error&& error() && { return std::get<1>(std::move(state_)); }

  private:
    std::variant<T, Error> state_;
};

// Success without a value.
struct Ok {};
using Status = Result<Ok>;

}  // namespace pycds
