// Lets `node --test` import the page's TypeScript: the types are taken away, nothing is checked.
import { register } from 'node:module';
register('./typescript_hooks.mjs', import.meta.url);
