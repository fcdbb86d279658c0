// setsockopt(2) and getsockopt(2) of a simulated socket. See socket(7), tcp(7), ipv6(7).

#pragma once

#include <cove/net/sim/detail/tcp_socket.hpp>

namespace cove::sim::detail {

// Both answer 0 or -errno.
int set_option(tcp_socket& socket, int level, int name, const void* value, unsigned size) noexcept;
int get_option(tcp_socket& socket, int level, int name, void* value, unsigned* size) noexcept;

}  // namespace cove::sim::detail
