/* The three helpers of the compiler's run-time library that libc.so needs: multiplication of complex numbers with
 * infinities and NaNs recovered (ISO C99, annex G.5.1, example 1). zig's own run-time library cannot be linked by name. */
#define INF(x) __builtin_isinf(x)
#define NAN(x) __builtin_isnan(x)
#define SGN(m, s) __builtin_copysignl((m), (s))
#define MUL(name, T) \
T _Complex name(T a, T b, T c, T d) { \
	T ac = a * c, bd = b * d, ad = a * d, bc = b * c, x = ac - bd, y = ad + bc; \
	if (NAN(x) && NAN(y)) { \
		int again = 0; \
		if (INF(a) || INF(b)) { \
			a = SGN(INF(a) ? 1 : 0, a); b = SGN(INF(b) ? 1 : 0, b); \
			if (NAN(c)) c = SGN(0, c); \
			if (NAN(d)) d = SGN(0, d); \
			again = 1; \
		} \
		if (INF(c) || INF(d)) { \
			c = SGN(INF(c) ? 1 : 0, c); d = SGN(INF(d) ? 1 : 0, d); \
			if (NAN(a)) a = SGN(0, a); \
			if (NAN(b)) b = SGN(0, b); \
			again = 1; \
		} \
		if (!again && (INF(ac) || INF(bd) || INF(ad) || INF(bc))) { \
			if (NAN(a)) a = SGN(0, a); \
			if (NAN(b)) b = SGN(0, b); \
			if (NAN(c)) c = SGN(0, c); \
			if (NAN(d)) d = SGN(0, d); \
			again = 1; \
		} \
		if (again) { \
			x = (T)__builtin_inf() * (a * c - b * d); \
			y = (T)__builtin_inf() * (a * d + b * c); \
		} \
	} \
	T _Complex z; \
	__real__ z = x; \
	__imag__ z = y; \
	return z; \
}
__attribute__((visibility("hidden"))) MUL(__mulsc3, float)
__attribute__((visibility("hidden"))) MUL(__muldc3, double)
__attribute__((visibility("hidden"))) MUL(__mulxc3, long double)
