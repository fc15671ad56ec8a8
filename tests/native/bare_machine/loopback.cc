// Loaded before the C library of Bochs, whose only display without a screen serves VNC on every address: on the loopback one alone.
#include <dlfcn.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cstring>

extern "C" int bind(int socket, const sockaddr* address, socklen_t length) {
  static const auto real = reinterpret_cast<int (*)(int, const sockaddr*, socklen_t)>(dlsym(RTLD_NEXT, "bind"));
  sockaddr_in inside;
  if (address == nullptr || address->sa_family != AF_INET || length < sizeof inside) return real(socket, address, length);
  std::memcpy(&inside, address, sizeof inside);
  inside.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return real(socket, reinterpret_cast<const sockaddr*>(&inside), sizeof inside);
}
