// Chat server on Asio with coroutines, after Asio's own example: chat_coroutines PORT

#include <asio/awaitable.hpp>
#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/io_context.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/redirect_error.hpp>
#include <asio/steady_timer.hpp>
#include <asio/use_awaitable.hpp>
#include <asio/write.hpp>

#include <array>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_set>
#include <utility>
#include <vector>

using asio::awaitable;
using asio::redirect_error;
using asio::use_awaitable;
using asio::ip::tcp;

constexpr std::size_t line_max = 1024, unsent_max = 1024 * 1024;

class member;
using room = std::unordered_set<member*>;
using message = std::shared_ptr<const std::string>;

class member : public std::enable_shared_from_this<member> {
public:
    member(tcp::socket socket, room& members)
        : socket_(std::move(socket)), more_(socket_.get_executor()), room_(members) {
        more_.expires_at(std::chrono::steady_clock::time_point::max());
        room_.insert(this);
    }
    ~member() { room_.erase(this); }

    void start() {
        const auto executor = socket_.get_executor();
        asio::co_spawn(
            executor, [self = shared_from_this()] { return self->read(); }, asio::detached);
        asio::co_spawn(
            executor, [self = shared_from_this()] { return self->write(); }, asio::detached);
    }

private:
    awaitable<void> read() {
        std::array<char, 16 * 1024> buffer;
        std::size_t size = 0;  // of the unfinished line in the buffer
        while (socket_.is_open()) {
            asio::error_code error;
            size += co_await socket_.async_read_some(asio::buffer(buffer) + size, redirect_error(use_awaitable, error));
            const std::string_view rest = broadcast({buffer.data(), size});
            if (error || rest.size() > line_max) close();
            std::memmove(buffer.data(), rest.data(), size = rest.size());
        }
    }

    // Delivers each line to everybody and returns what follows the last, or something too long to become a line.
    std::string_view broadcast(std::string_view lines) {
        for (std::size_t end; (end = lines.find('\n')) != lines.npos && end <= line_max; lines.remove_prefix(end + 1)) {
            const auto line = std::make_shared<const std::string>(lines.substr(0, end + 1));
            for (member* each : room_) each->deliver(line);
        }
        return lines;
    }

    void deliver(const message& line) {
        if (!socket_.is_open()) return;  // closed, its coroutines not yet resumed
        queue_.push_back(line);
        unsent_ += line->size();
        unsent_ > unsent_max ? close() : static_cast<void>(more_.cancel_one());
    }

    awaitable<void> write() {
        std::vector<asio::const_buffer> buffers;
        while (socket_.is_open()) {
            asio::error_code error;
            if (queue_.empty()) co_await more_.async_wait(redirect_error(use_awaitable, error));  // until canceled
            buffers.clear();
            for (const message& line : queue_) buffers.push_back(asio::buffer(*line));
            const std::size_t size = co_await asio::async_write(socket_, buffers, redirect_error(use_awaitable, error));
            if (error) close();
            unsent_ -= size;
            queue_.erase(queue_.begin(), queue_.begin() + std::ssize(buffers));
        }
    }

    // Ends what the two coroutines wait for.
    void close() {
        asio::error_code ignored;
        socket_.close(ignored);
        more_.cancel();
    }

    tcp::socket socket_;
    asio::steady_timer more_;  // never expires; canceled when the queue has grown
    room& room_;
    std::deque<message> queue_;
    std::size_t unsent_ = 0;
};

awaitable<void> accept(tcp::acceptor acceptor, room& members) {
    for (;;) {
        asio::error_code error;
        tcp::socket socket = co_await acceptor.async_accept(redirect_error(use_awaitable, error));
        if (error) continue;
        socket.set_option(tcp::no_delay(true), error);  // fails for a peer that is gone: reading will tell
        std::make_shared<member>(std::move(socket), members)->start();
    }
}

int main(int argc, char** argv) {
    room members;
    asio::io_context context(1);
    const auto port = static_cast<unsigned short>(std::atoi(argv[argc - 1]));
    tcp::acceptor acceptor(context, {asio::ip::address_v4::loopback(), port});  // SO_REUSEADDR, and SOMAXCONN: 4096
    asio::co_spawn(context, accept(std::move(acceptor), members), asio::detached);
    context.run();
}
