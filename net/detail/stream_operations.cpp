#include <cove/net/detail/stream_operations.hpp>

#include <cove/net/detail/receive_block.hpp>
#include <cove/net/detail/socket_attempt.hpp>

#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>

namespace cove::detail {
namespace {

// A peer that reads as fast as we write would keep one write going for as long as it has bytes: after this many,
// everybody else has a turn.
constexpr std::size_t bytes_per_turn = 1024 * 1024;
constexpr std::size_t parts_per_call = 64;

template <class Call>
address ask(Call call) noexcept {
    alignas(8) unsigned char bytes[128];
    unsigned size = sizeof bytes;
    auto* native = reinterpret_cast<sockaddr*>(bytes);
    return call(native, &size) < 0 ? address() : address(native, size);
}

}  // namespace

address local_address_of(kernel& os, int fd) noexcept {
    return ask([&](sockaddr* native, unsigned* size) { return os.local_address(fd, native, size); });
}

address peer_address_of(kernel& os, int fd) noexcept {
    return ask([&](sockaddr* native, unsigned* size) { return os.peer_address(fd, native, size); });
}

// Here and below: what is known here is built into run() and start().
[[gnu::always_inline]] inline long read_operation::try_once(kernel& os, int fd, bool& drained) noexcept {
    const long count = os.receive(fd, data_, size_);
    drained = count > 0 && static_cast<std::size_t>(count) < size_;
    return count;
}

[[gnu::always_inline]] inline long read_exactly_operation::try_once(kernel& os, int fd, bool&) noexcept {
    for (std::size_t this_turn = 0; this_turn < bytes_per_turn;) {
        const long count = os.receive(fd, data_ + done_, size_ - done_);
        if (count == 0) return raw(errc::end_of_stream);
        if (count < 0) return count;
        this_turn += static_cast<std::size_t>(count);
        done_ += static_cast<std::size_t>(count);
        if (got_ != nullptr) *got_ = done_;
        if (done_ == size_) return 0;
    }
    return again;
}

[[gnu::always_inline]] inline long receive_operation::try_once(kernel& os, int fd, bool& drained) noexcept {
    return buffer::receive_block(os, fd, received_, drained);
}

[[gnu::always_inline]] inline long write_operation::try_once(kernel& os, int fd, bool&) noexcept {
    // After a part it is tried once more, for the EAGAIN: only then does the kernel promise an edge.
    for (std::size_t this_turn = 0; this_turn < bytes_per_turn;) {
        const long count = os.send(fd, data_.data(), data_.size());
        if (count < 0) return count;
        this_turn += static_cast<std::size_t>(count);
        data_.remove_prefix(static_cast<std::size_t>(count));
        if (written_ != nullptr) *written_ += static_cast<std::size_t>(count);
        if (data_.empty()) return 0;
    }
    return again;
}

[[gnu::always_inline]] inline long write_some_operation::try_once(kernel& os, int fd, bool&) noexcept {
    return os.send(fd, data_.data(), data_.size());
}

[[gnu::always_inline]] inline long write_vector_operation::try_once(kernel& os, int fd, bool&) noexcept {
    for (std::size_t this_turn = 0; this_turn < bytes_per_turn;) {
        iovec pieces[parts_per_call];
        std::size_t count = 0;
        std::size_t offset = offset_;
        for (const std::string_view part : parts_.first(std::min(parts_.size(), parts_per_call))) {
            pieces[count++] = {const_cast<char*>(part.data()) + offset, part.size() - offset};
            offset = 0;
        }
        msghdr message{};
        message.msg_iov = pieces;
        message.msg_iovlen = count;
        const long sent = os.send_message(fd, message);
        if (sent < 0) return sent;
        this_turn += static_cast<std::size_t>(sent);
        if (written_ != nullptr) *written_ += static_cast<std::size_t>(sent);
        skip(static_cast<std::size_t>(sent));
        if (parts_.empty()) return 0;
    }
    return again;
}

[[gnu::always_inline]] inline long send_file_operation::try_once(kernel& os, int fd, bool&) noexcept {
    for (std::size_t this_turn = 0; this_turn < bytes_per_turn;) {
        const long sent = os.send_file(fd, file_, offset_, std::min<std::uint64_t>(left_, bytes_per_turn - this_turn));
        if (sent == 0) return raw(errc::end_of_stream);
        if (sent < 0) return sent;
        this_turn += static_cast<std::size_t>(sent);
        offset_ += static_cast<std::uint64_t>(sent);
        left_ -= static_cast<std::uint64_t>(sent);
        if (written_ != nullptr) *written_ += static_cast<std::uint64_t>(sent);
        if (left_ == 0) return 0;
    }
    return again;
}

void write_vector_operation::skip(std::size_t sent_bytes) noexcept {
    offset_ += sent_bytes;
    while (!parts_.empty() && offset_ >= parts_.front().size()) {
        offset_ -= parts_.front().size();
        parts_ = parts_.subspan(1);
    }
}

template class socket_operation<read_operation, std::size_t>;
template class socket_operation<read_exactly_operation, void>;
template class socket_operation<receive_operation, buffer>;
template class socket_operation<write_operation, void>;
template class socket_operation<write_some_operation, std::size_t>;
template class socket_operation<write_vector_operation, void>;
template class socket_operation<send_file_operation, void>;

}  // namespace cove::detail
