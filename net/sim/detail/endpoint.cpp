#include <cove/net/sim/detail/endpoint.hpp>

#include <cove/net/address.hpp>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace cove::sim::detail {
namespace {

std::uint64_t read_big_endian(const unsigned char* bytes) noexcept {
    std::uint64_t value = 0;
    for (int i = 0; i < 8; ++i) value = value << 8 | bytes[i];
    return value;
}

void write_big_endian(std::uint64_t value, unsigned char* bytes) noexcept {
    for (int i = 7; i >= 0; --i, value >>= 8) bytes[i] = static_cast<unsigned char>(value);
}

}  // namespace

int read_endpoint(int family, const sockaddr* address, unsigned size_bytes, endpoint& into) noexcept {
    constexpr unsigned v6_without_scope = 24;  // RFC 2133 had none
    if (size_bytes < (family == AF_INET ? sizeof(sockaddr_in) : v6_without_scope)) return -EINVAL;
    if (size_bytes > sizeof(sockaddr_storage)) return -EINVAL;
    sa_family_t given = 0;
    std::memcpy(&given, address, sizeof given);
    if (given != family) return -EAFNOSUPPORT;
    if (family == AF_INET) {
        sockaddr_in v4{};
        std::memcpy(&v4, address, sizeof v4);
        into = any_v4.with_port(ntohs(v4.sin_port));
        into.low |= ntohl(v4.sin_addr.s_addr);
        return 0;
    }
    sockaddr_in6 v6{};
    std::memcpy(&v6, address, std::min<std::size_t>(size_bytes, sizeof v6));
    into = {read_big_endian(v6.sin6_addr.s6_addr), read_big_endian(v6.sin6_addr.s6_addr + 8), ntohs(v6.sin6_port)};
    return 0;
}

int write_endpoint(int family, const endpoint& from, sockaddr* address, unsigned* size_bytes) noexcept {
    if (static_cast<int>(*size_bytes) < 0) return -EINVAL;
    sockaddr_in v4{};
    sockaddr_in6 v6{};
    const void* written = nullptr;
    unsigned written_bytes = 0;
    if (family == AF_INET) {
        v4.sin_family = AF_INET;
        v4.sin_addr.s_addr = htonl(static_cast<std::uint32_t>(from.low));
        v4.sin_port = htons(from.port);
        written = &v4;
        written_bytes = sizeof v4;
    } else {
        v6.sin6_family = AF_INET6;
        write_big_endian(from.high, v6.sin6_addr.s6_addr);
        write_big_endian(from.low, v6.sin6_addr.s6_addr + 8);
        v6.sin6_port = htons(from.port);
        written = &v6;
        written_bytes = sizeof v6;
    }
    std::memcpy(address, written, std::min(*size_bytes, written_bytes));
    *size_bytes = written_bytes;
    return 0;
}

std::string to_string(const endpoint& from) {
    alignas(8) unsigned char bytes[sizeof(sockaddr_in6)];
    unsigned size_bytes = sizeof bytes;
    auto* native = reinterpret_cast<sockaddr*>(bytes);
    write_endpoint(from.is_v4() ? AF_INET : AF_INET6, from, native, &size_bytes);
    return address(native, size_bytes).to_string();
}

}  // namespace cove::sim::detail
