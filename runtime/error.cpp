#include <cove/runtime/error.hpp>

#include <cove/runtime/text.hpp>

#include <cstdio>
#include <cstdlib>

namespace cove {
namespace {

class category final : public std::error_category {
public:
    const char* name() const noexcept override { return "cove"; }
    std::string message(int code) const override {
        switch (static_cast<errc>(code)) {
            case errc::end_of_stream: return "the stream ended too early";
            case errc::closed: return "it is closed";
            case errc::busy: return "another coroutine is already waiting";
            case errc::line_too_long: return "the line is too long";
            case errc::invalid_address: return "not an address";
            case errc::deadlock: return "everything waits and nothing can ever wake it";
            case errc::timed_out: return "timed out";
            case errc::too_slow: return "reading was too slow";
        }
        return text({"unknown error ", code});
    }
    std::error_condition default_error_condition(int code) const noexcept override {
        // What another coroutine closed was, to a portable handler, a bad descriptor, and so on.
        switch (static_cast<errc>(code)) {
            case errc::closed: return std::errc::bad_file_descriptor;
            case errc::busy: return std::errc::operation_in_progress;
            case errc::timed_out: return std::errc::timed_out;
            case errc::deadlock: return std::errc::resource_deadlock_would_occur;
            case errc::invalid_address: return std::errc::invalid_argument;
            default: return {code, *this};
        }
    }
};

// Prints "5s", "250ms", "1.5s": the largest unit in which the number is short.
std::string print(duration length) {
    struct unit {
        const char* name;
        long long nanoseconds;
    };
    for (const unit u : {unit{"s", 1'000'000'000}, unit{"ms", 1'000'000}, unit{"us", 1'000}}) {
        const long long count = length.count();
        if (count < u.nanoseconds) continue;
        char printed[32];
        std::snprintf(printed, sizeof printed, "%.6g%s",
                      static_cast<double>(count) / static_cast<double>(u.nanoseconds), u.name);
        return printed;
    }
    return text({length.count(), "ns"});
}

}  // namespace

const std::error_category& error_category() noexcept {
    static const category instance;
    return instance;
}

std::string cancel_reason::to_string() const {
    std::string whole = text({"canceled by ", what != nullptr ? what : "its own code"});
    if (limit > duration::zero()) whole += text({"(", print(limit), ")"});
    if (where.line() > 0) whole += text({" at ", detail::file_name(where.file_name()), ":", where.line()});
    return whole;
}

timed_out::timed_out(duration limit)
    : std::system_error(errc::timed_out, text({"not finished within ", print(limit)})) {}
timed_out::timed_out() : std::system_error(errc::timed_out, "not finished by its deadline") {}

namespace detail {

std::string_view file_name(std::string_view path) noexcept { return path.substr(path.rfind('/') + 1); }

std::error_code to_error_code(long outcome) noexcept {
    if (outcome >= 0) return {};
    if (outcome <= -own_error_base) return static_cast<errc>(-outcome - own_error_base);
    return {static_cast<int>(-outcome), std::generic_category()};
}

// Compilers spell a coroutine's name with its return type and parameters, or worse; its bare name stands before the
// first parenthesis.
std::string_view bare_name(std::string_view name) noexcept {
    constexpr std::string_view unnamed = "(anonymous namespace)::";
    if (const std::size_t at = name.find(unnamed); at != name.npos) name.remove_prefix(at + unnamed.size());
    name = name.substr(0, name.find('('));
    const std::size_t space = name.rfind(' ');
    return space == std::string_view::npos ? name : name.substr(space + 1);
}

void throw_error(std::error_code code, const char* operation, const std::string& subject) {
    throw std::system_error(code, text({operation, subject.empty() ? "" : " ", subject}));
}

void misuse(const char* rule, std::source_location where) noexcept {
    std::fprintf(stderr, "cove: %s (%s:%u)\n", rule, where.file_name(), static_cast<unsigned>(where.line()));
    std::abort();
}

}  // namespace detail
}  // namespace cove
