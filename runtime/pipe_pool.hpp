// The pipes of a loop, for those who pass bytes from one socket to another without copying them.

#pragma once

#include <cove/runtime/descriptor.hpp>

#include <cstddef>

namespace cove {

// Both ends of a pipe, or of none.
class pipe_ends {
public:
    pipe_ends() noexcept = default;

    // Where the bytes come out, and where they go in; -1: there is none.
    int read_end() const noexcept { return read_end_.number(); }
    int write_end() const noexcept { return write_end_.number(); }
    bool is_open() const noexcept { return read_end_.is_open(); }

    // Closes it, and what is in it is gone.
    void close() noexcept {
        read_end_.close();
        write_end_.close();
    }

private:
    friend class pipe_pool;

    descriptor read_end_;
    descriptor write_end_;
};

// Keeps a few empty pipes open: a pipe costs two descriptors and as much time as several reads. They are lent for as long as
// bytes are in them, so that an idle connection holds none.
// Concurrency: the thread of its loop.
class pipe_pool {
public:
    explicit pipe_pool(kernel& os) noexcept : os_(os) {}
    pipe_pool(const pipe_pool&) = delete;
    pipe_pool& operator=(const pipe_pool&) = delete;

    // Takes an empty pipe, a new one if none is left; it is closed where it is destroyed.
    // Result: 0, or -errno: EMFILE, ENFILE. See pipe(2).
    int take(pipe_ends& into) noexcept;

    // Takes a pipe back. It must be empty.
    void give_back(pipe_ends& empty) noexcept;

    // How many are kept.
    std::size_t size() const noexcept { return size_; }

private:
    static constexpr std::size_t kept_max = 4;

    kernel& os_;
    pipe_ends kept_[kept_max];
    std::size_t size_ = 0;
};

}  // namespace cove
