// Where a socket is: an IPv4 or IPv6 address with a port, or a Unix path.

#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

struct sockaddr;

namespace cove {

// A socket address, as text and as the kernel's bytes. A value; no system call is made with it but by sockets.
class address {
public:
    // No address: what an unnamed Unix socket has.
    address() noexcept = default;

    // Reads a numeric address.
    //   ":8080"            every address of this host, IPv6 and IPv4
    //   "127.0.0.1:8080"   IPv4; "localhost:8080" is this one
    //   "[::1]:8080"       IPv6; a scope may follow: "[fe80::1%2]:8080"
    //   "/run/chat.sock"   a Unix path; "unix:chat.sock" a relative one, "@name" one in the abstract namespace
    // Throws: std::system_error (errc::invalid_address), naming the text, the character and what is wrong there.
    // See ip(7), ipv6(7), unix(7).
    static address parse(std::string_view text);

    // Takes the kernel's form; size_bytes as the kernel reported it.
    address(const sockaddr* from, std::size_t size_bytes) noexcept;

    // Prints the address so that parse() reads it.
    std::string to_string() const;

    // The address family: AF_INET, AF_INET6, AF_UNIX, or AF_UNSPEC for no address.
    int family() const noexcept;

    // The port, 0 for a Unix address; and the same address with another one.
    std::uint16_t port() const noexcept;
    address with_port(std::uint16_t port) const noexcept;

    // Whether it is the wildcard address: every address of this host.
    bool is_any() const noexcept;

    // The kernel's form, for bind(2) and connect(2).
    const sockaddr* data() const noexcept { return reinterpret_cast<const sockaddr*>(bytes_); }
    unsigned size() const noexcept { return size_; }

    friend bool operator==(const address& left, const address& right) noexcept;

private:
    static constexpr std::size_t size_max = 110;  // sizeof(sockaddr_un), the largest of them

    alignas(8) unsigned char bytes_[size_max] = {};
    unsigned size_ = 0;
};

}  // namespace cove
