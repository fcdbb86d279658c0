// An IP address and a port, in the small form that the simulated network sorts by.

#pragma once

#include <compare>
#include <cstdint>
#include <string>

struct sockaddr;

namespace cove::sim::detail {

// IPv4 addresses are their IPv4-mapped IPv6 ones (RFC 4291, section 2.5.5.2), as in the kernel's dual-stack sockets.
struct endpoint {
    std::uint64_t high = 0;
    std::uint64_t low = 0;
    std::uint16_t port = 0;

    friend auto operator<=>(const endpoint&, const endpoint&) noexcept = default;

    bool is_v4() const noexcept { return high == 0 && low >> 32 == 0xffff; }
    bool is_any() const noexcept { return high == 0 && (low == 0 || low == 0xffff'0000'0000); }
    bool is_loopback() const noexcept { return (is_v4() && (low >> 24 & 0xff) == 127) || (high == 0 && low == 1); }
    bool same_host(const endpoint& other) const noexcept { return high == other.high && low == other.low; }
    endpoint with_port(std::uint16_t other) const noexcept { return {high, low, other}; }
};

inline constexpr endpoint any_v6{};
inline constexpr endpoint any_v4{0, 0xffff'0000'0000, 0};

// Reads what a program passes for a socket of this family. Returns 0 or -errno.
int read_endpoint(int family, const sockaddr* address, unsigned size_bytes, endpoint& into) noexcept;

// Writes as getsockname(2) does, for a socket of this family. Returns 0 or -errno.
int write_endpoint(int family, const endpoint& from, sockaddr* address, unsigned* size_bytes) noexcept;

std::string to_string(const endpoint& from);

}  // namespace cove::sim::detail
