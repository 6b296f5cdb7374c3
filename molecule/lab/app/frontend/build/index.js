// What SvelteKit's adapter-node makes of a frontend, in small: `node build` serves it on HOST and PORT, for ORIGIN.
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';

const { HOST = '0.0.0.0', ORIGIN = '', PORT } = process.env;
if (!/^[0-9]+$/.test(PORT ?? '')) {
	console.error('PORT is not set to a port: set it in the environment');
	process.exit(1);
}
const page = readFileSync(new URL('client/index.html', import.meta.url), 'utf8').replace('%ORIGIN%', ORIGIN);

const server = createServer((request, response) => {
	const { pathname } = new URL(request.url, 'http://localhost');
	const answer = (status, type, body) => {
		response.writeHead(status, { 'content-type': type, 'x-handler': 'frontend' });
		response.end(body);
	};
	// As SvelteKit does, with the ORIGIN that it was told.
	if (request.method === 'POST' && request.headers.origin !== ORIGIN) {
		answer(403, 'text/plain', 'Cross-site POST form submissions are forbidden');
	} else if (pathname === '/health') {
		answer(200, 'application/json', JSON.stringify({ handler: 'frontend', status: 'ok', origin: ORIGIN }));
	} else if (pathname === '/') {
		answer(200, 'text/html; charset=utf-8', page);
	} else {
		answer(404, 'text/plain', 'Not found');
	}
});

server.listen(Number(PORT), HOST, () => console.log(`Listening on http://${HOST}:${PORT}`));
for (const signal of ['SIGTERM', 'SIGINT']) {
	process.on(signal, () => {
		server.close();
		server.closeAllConnections();
	});
}
