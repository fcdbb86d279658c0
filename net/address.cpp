#include <cove/net/address.hpp>

#include <cove/runtime/error.hpp>
#include <cove/runtime/text.hpp>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstring>

namespace cove {
namespace {

static_assert(sizeof(sockaddr_un) == 110 && sizeof(sockaddr_in6) <= 110);

// As a message can show it: without control characters, and not longer than a line.
std::string quoted(std::string_view text) {
    constexpr std::size_t shown_max = 120;
    std::string shown = "\"";
    for (const char each : text.substr(0, shown_max)) shown += each < ' ' || each == 127 ? '?' : each;
    return shown + (text.size() > shown_max ? "...\"" : "\"");
}

[[noreturn]] void fail(std::string_view text, std::size_t at, std::string_view what) {
    throw std::system_error(errc::invalid_address, cove::text({quoted(text), ", character ", at + 1, ": ", what}));
}

std::uint16_t parse_port(std::string_view text, std::size_t colon) {
    const std::string_view digits = text.substr(colon + 1);
    if (digits.empty()) fail(text, colon, "a port has to follow the colon");
    unsigned port = 0;
    for (std::size_t i = 0; i < digits.size(); ++i) {
        if (digits[i] < '0' || digits[i] > '9') fail(text, colon + 1 + i, "a port is a decimal number");
        port = port * 10 + static_cast<unsigned>(digits[i] - '0');
        if (port > 65535) fail(text, colon + 1, "the port is above 65535");
    }
    return static_cast<std::uint16_t>(port);
}

// The C functions want a terminated string; one that is longer than any address, or ends before its end, is none.
struct terminated {
    char text[64] = {};
    bool fits;
    explicit terminated(std::string_view from) : fits(from.size() < sizeof text && from.find('\0') == from.npos) {
        if (fits) std::copy(from.begin(), from.end(), text);
    }
};

template <class Native>
address from(const Native& native, std::size_t size_bytes = sizeof(Native)) {
    return {reinterpret_cast<const sockaddr*>(&native), size_bytes};
}

template <class Native>
Native as(const address& from) noexcept {
    Native native{};
    std::memcpy(&native, from.data(), std::min<std::size_t>(sizeof native, from.size()));
    return native;
}

address parse_unix(std::string_view text, std::size_t start, bool abstract) {
    const std::string_view path = text.substr(start);
    sockaddr_un native{};
    native.sun_family = AF_UNIX;
    if (path.empty()) fail(text, start, "a path has to follow");
    // A path is terminated by a zero; a name in the abstract namespace begins with one and is as long as it is.
    if (path.size() >= sizeof native.sun_path)
        fail(text, start + sizeof native.sun_path - 1, "a Unix path has at most 107 characters");
    if (!abstract && path.find('\0') != path.npos) fail(text, start + path.find('\0'), "a path contains no zero");
    std::copy(path.begin(), path.end(), native.sun_path + (abstract ? 1 : 0));
    return from(native, offsetof(sockaddr_un, sun_path) + path.size() + 1);
}

address parse_ipv4(std::string_view text, std::string_view host, std::uint16_t port) {
    sockaddr_in native{};
    native.sin_family = AF_INET;
    native.sin_port = htons(port);
    const terminated copy(host);
    if (!copy.fits || ::inet_pton(AF_INET, copy.text, &native.sin_addr) != 1)
        fail(text, 0,
             cove::text(
                 {"\"", host, "\" is no IPv4 address (four numbers of 0 to 255), and names are not resolved here"}));
    return from(native);
}

address parse_ipv6(std::string_view text, std::string_view host, std::uint16_t port) {
    sockaddr_in6 native{};
    native.sin6_family = AF_INET6;
    native.sin6_port = htons(port);
    const std::size_t percent = host.find('%');
    const terminated copy(host.substr(0, percent));
    if (!copy.fits || ::inet_pton(AF_INET6, copy.text, &native.sin6_addr) != 1)
        fail(text, 1, cove::text({quoted(host.substr(0, percent)), " is no IPv6 address"}));
    if (percent == host.npos) return from(native);
    const std::string_view scope = host.substr(percent + 1);
    const auto [end, error] = std::from_chars(scope.begin(), scope.end(), native.sin6_scope_id);
    if (error != std::errc() || end != scope.end() || native.sin6_scope_id == 0)
        fail(text, percent + 2, "after the % stands the number of a network interface");
    return from(native);
}

}  // namespace

address::address(const sockaddr* from, std::size_t size_bytes) noexcept
    : size_(static_cast<unsigned>(std::min(size_bytes, size_max))) {
    std::memcpy(bytes_, from, size_);
}

address address::parse(std::string_view text) {
    if (text.starts_with("unix:")) return parse_unix(text, 5, false);
    if (text.starts_with('@')) return parse_unix(text, 1, true);
    if (text.starts_with('/')) return parse_unix(text, 0, false);

    if (text.starts_with('[')) {
        const std::size_t bracket = text.find(']');
        if (bracket == text.npos) fail(text, text.size(), "a ']' is missing");
        if (bracket + 1 >= text.size() || text[bracket + 1] != ':')
            fail(text, bracket + 1, "a colon and a port have to follow the ']'");
        return parse_ipv6(text, text.substr(1, bracket - 1), parse_port(text, bracket + 1));
    }
    const std::size_t colon = text.rfind(':');
    if (colon == text.npos) fail(text, text.size(), "a colon and a port are missing");
    if (text.find(':') != colon) fail(text, 0, "an IPv6 address is written in brackets, as in [::1]:8080");
    const std::uint16_t port = parse_port(text, colon);
    const std::string_view host = text.substr(0, colon);
    if (host.empty()) return parse_ipv6(text, "::", port);
    return parse_ipv4(text, host == "localhost" ? "127.0.0.1" : host, port);
}

int address::family() const noexcept {
    return size_ < sizeof(sa_family_t) ? AF_UNSPEC : as<sockaddr_un>(*this).sun_family;
}

std::uint16_t address::port() const noexcept {
    // Both families keep the port in the same place.
    return family() == AF_INET || family() == AF_INET6 ? ntohs(as<sockaddr_in>(*this).sin_port) : std::uint16_t{0};
}

address address::with_port(std::uint16_t port) const noexcept {
    address changed = *this;
    if (family() == AF_INET || family() == AF_INET6) {
        const std::uint16_t network = htons(port);
        std::memcpy(changed.bytes_ + offsetof(sockaddr_in, sin_port), &network, sizeof network);
    }
    return changed;
}

bool address::is_any() const noexcept {
    if (family() == AF_INET) return as<sockaddr_in>(*this).sin_addr.s_addr == INADDR_ANY;
    const sockaddr_in6 native = as<sockaddr_in6>(*this);
    return family() == AF_INET6 && std::memcmp(&native.sin6_addr, &in6addr_any, sizeof in6addr_any) == 0;
}

std::string address::to_string() const {
    char host[INET6_ADDRSTRLEN] = {};
    switch (family()) {
        case AF_INET: {
            const auto native = as<sockaddr_in>(*this);
            ::inet_ntop(AF_INET, &native.sin_addr, host, sizeof host);
            return text({host, ":", port()});
        }
        case AF_INET6: {
            const auto native = as<sockaddr_in6>(*this);
            ::inet_ntop(AF_INET6, &native.sin6_addr, host, sizeof host);
            if (native.sin6_scope_id == 0) return text({"[", host, "]:", port()});
            return text({"[", host, "%", native.sin6_scope_id, "]:", port()});
        }
        case AF_UNIX: {
            const auto native = as<sockaddr_un>(*this);
            const std::size_t length = size_ - std::min<std::size_t>(size_, offsetof(sockaddr_un, sun_path));
            if (length == 0) return "unnamed";
            if (native.sun_path[0] == '\0') return text({"@", std::string_view(native.sun_path + 1, length - 1)});
            const std::string path(native.sun_path, ::strnlen(native.sun_path, length));
            return path.starts_with('/') ? path : text({"unix:", path});
        }
        default: return "unnamed";
    }
}

bool operator==(const address& left, const address& right) noexcept {
    return left.size_ == right.size_ && std::memcmp(left.bytes_, right.bytes_, left.size_) == 0;
}

}  // namespace cove
